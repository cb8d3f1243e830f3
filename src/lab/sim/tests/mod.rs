mod conservation;
mod faults;
mod metrics;
mod support;
mod traces;
