//! The same stories for somebody else.

#[test]
fn as_an_ordinary_user_everything_holds_as_well() {
    crate::ordinary::again_as_an_ordinary_user(&[]);
}
