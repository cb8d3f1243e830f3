mod autoscale;
mod causal;
mod cusum;
mod oracle;
mod pc;
mod rules;
mod seer;
mod support;
