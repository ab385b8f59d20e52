pub mod findings;
pub mod sarif;
