//! The daemon from outside: in this process, and in processes of its own.

#[cfg(test)]
mod abuse;
#[cfg(test)]
mod alike;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bad_model;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod config_command;
#[cfg(test)]
mod data_model;
#[cfg(test)]
mod descriptors;
#[cfg(test)]
mod dump;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod errors_doc;
#[cfg(test)]
mod health;
#[cfg(test)]
mod http_side;
#[cfg(test)]
mod log_lines;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod owed;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod service_manager;
#[cfg(test)]
mod single_keys;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod start_configuration;
#[cfg(test)]
mod start_damage;
#[cfg(test)]
mod start_place;
#[cfg(test)]
mod support;
#[cfg(test)]
mod told;
#[cfg(test)]
mod unix_socket;
#[cfg(test)]
mod watch;
