//! Images without an engine: from a real registry, and from archives, into the sandbox. And what hostile images try.

mod again;
mod attacks;
mod builder;
mod built;
mod byhand;
#[path = "../support/docker.rs"]
mod docker;
mod endless;
#[path = "../support/engines.rs"]
mod engines;
mod full;
mod imports;
mod kept;
mod private;
mod pulls;
mod registry;
mod services;
#[path = "../support/step.rs"]
mod step;
mod steps;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/terminal.rs"]
mod terminal;
mod unfit;
#[path = "../support/users.rs"]
mod users;

#[test]
fn as_an_ordinary_user_everything_holds_as_well() {
    users::again_as_an_ordinary_user(&[]);
}
