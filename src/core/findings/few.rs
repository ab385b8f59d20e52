//! Parts of a file that hold what they may and no more, however much of it there is.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The first `MOST` of a list; the rest is counted only.
pub(super) struct Few<T, const MOST: usize> {
    pub(super) some: Vec<T>,
    pub(super) more: usize,
}

impl<T, const MOST: usize> Default for Few<T, MOST> {
    fn default() -> Self {
        Self { some: Vec::new(), more: 0 }
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Few<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for FewVisitor<T, MOST> {
    type Value = Few<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut few = Few::default();
        while few.some.len() < MOST {
            match list.next_element()? {
                Some(one) => few.some.push(one),
                None => return Ok(few),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            few.more += 1;
        }
        Ok(few)
    }
}

/// One fingerprint of the many that a result may have: ours, else the first.
#[derive(Default)]
pub(super) struct OneOf {
    pub(super) value: Option<String>,
}

/// The fingerprint that we write ourselves.
const OURS: &str = "tidegate/v1";

impl<'de> Deserialize<'de> for OneOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneOfVisitor)
    }
}

struct OneOfVisitor;

impl<'de> Visitor<'de> for OneOfVisitor {
    type Value = OneOf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fingerprints by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut one = OneOf::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == OURS || one.value.is_none() {
                one.value = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(one)
    }
}
