//! Phones that talk to each other through a tiny server.

mod net;

mod content;
mod identity;
mod keys;
mod retries;
mod schedules;
mod screen;
mod talk;
mod tricks;
