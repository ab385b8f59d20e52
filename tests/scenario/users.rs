//! What does not depend on who runs it, for somebody else: what outlives whom, and what is left.

#[test]
fn as_an_ordinary_user_invocations_outlive_their_tidegate_as_well() {
    crate::ordinary::again_as_an_ordinary_user(&["outlive::", "survivors::", "replay::"]);
}
