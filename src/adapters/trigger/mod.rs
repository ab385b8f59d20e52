//! What forges tell → what it means for Tidegate. Nobody else knows their shapes.

pub mod github;
