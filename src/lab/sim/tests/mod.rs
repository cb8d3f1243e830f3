mod conservation;
mod faults;
mod hosts;
mod metrics;
mod support;
mod traces;
