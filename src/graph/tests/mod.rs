mod cycles;
mod drawing;
mod figures;
mod kinds;
mod order;
mod rules;
mod support;
