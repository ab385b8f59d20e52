//! Traffic splits: weights per destination that always sum to 100 %.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::release::ReleaseId;

/// A share of traffic in hundredths of a percent: 0 is none, 10,000 is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Weight(u16);

impl Weight {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(10_000);

    /// `None` when it is over 100 %.
    pub fn from_basis_points(points: u16) -> Option<Self> {
        (points <= Self::ALL.0).then_some(Self(points))
    }
    pub fn basis_points(self) -> u16 {
        self.0
    }
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
    #[must_use]
    pub fn rest(self) -> Self {
        Self(Self::ALL.0 - self.0)
    }
}

impl TryFrom<u16> for Weight {
    type Error = String;
    fn try_from(points: u16) -> Result<Self, String> {
        Self::from_basis_points(points).ok_or_else(|| format!("a weight is at most 10000 basis points, found {points}"))
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> u16 {
        weight.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        let text = match part {
            0 => format!("{whole}%"),
            p if p % 10 == 0 => format!("{whole}.{}%", p / 10),
            p => format!("{whole}.{p:02}%"),
        };
        f.pad(&text)
    }
}

/// Where a request can go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Destination {
    /// Nothing is published here yet: the gateway answers 503 for this share. A function's first release is shifted to from here, and rolled back to here.
    Vacant,
    Release(ReleaseId),
    /// A long-running service that a route is moved away from.
    Upstream(String),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vacant => f.pad("vacant"),
            Self::Release(id) => id.fmt(f),
            Self::Upstream(url) => f.pad(url),
        }
    }
}

/// Weights per destination. There is no way to make one that does not sum to 100 %.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Destination, Weight)>", into = "Vec<(Destination, Weight)>")]
pub struct TrafficSplit(BTreeMap<Destination, Weight>);

/// The weights do not sum to 100 %.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a traffic split must sum to 100 %, found {found_basis_points} hundredths of a percent")]
pub struct NotWhole {
    pub found_basis_points: u32,
}

impl TrafficSplit {
    pub fn all(to: Destination) -> Self {
        Self(BTreeMap::from([(to, Weight::ALL)]))
    }

    /// `weight` to `new`, the rest to `old`. The same destination twice is all of it.
    pub fn between(old: Destination, new: Destination, weight: Weight) -> Self {
        if weight == Weight::ALL || old == new {
            return Self::all(new);
        }
        if weight == Weight::NONE {
            return Self::all(old);
        }
        Self(BTreeMap::from([(old, weight.rest()), (new, weight)]))
    }

    pub fn weight_of(&self, destination: &Destination) -> Weight {
        self.0.get(destination).copied().unwrap_or(Weight::NONE)
    }

    /// Destinations with a weight, in a stable order.
    pub fn iter(&self) -> impl Iterator<Item = (&Destination, Weight)> {
        self.0.iter().map(|(destination, weight)| (destination, *weight))
    }

    /// Where a uniformly drawn `point` in 0..10,000 lands.
    pub fn pick(&self, point: u16) -> &Destination {
        let mut left = u32::from(point) % 10_000;
        let mut last = None;
        for (destination, weight) in &self.0 {
            let width = u32::from(weight.basis_points());
            if left < width {
                return destination;
            }
            left -= width;
            last = Some(destination);
        }
        last.expect("a split has at least one destination: its weights sum to 100 %")
    }
}

impl TryFrom<Vec<(Destination, Weight)>> for TrafficSplit {
    type Error = NotWhole;

    fn try_from(parts: Vec<(Destination, Weight)>) -> Result<Self, NotWhole> {
        let found_basis_points = parts.iter().map(|(_, weight)| u32::from(weight.basis_points())).sum();
        let split: BTreeMap<_, _> = parts.into_iter().filter(|(_, weight)| *weight != Weight::NONE).collect();
        let whole: u32 = split.values().map(|weight| u32::from(weight.basis_points())).sum();
        if found_basis_points == 10_000 && whole == 10_000 { Ok(Self(split)) } else { Err(NotWhole { found_basis_points }) }
    }
}

impl From<TrafficSplit> for Vec<(Destination, Weight)> {
    fn from(split: TrafficSplit) -> Self {
        split.0.into_iter().collect()
    }
}
