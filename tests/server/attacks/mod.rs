//! Published attacks on runners of one's own, each told to a real server as far as an attacker gets: docs/security.md lists them. Where the protection is that
//! something does not happen, the same is done by somebody who may, and there it does happen: so that it is the protection that is seen, and not a mistake in the attack.

mod artifacts;
mod comments;
mod findings;
mod moved;
mod poisoned;
mod privileged;
mod race;
pub mod scene;
