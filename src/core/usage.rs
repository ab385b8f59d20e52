//! What invocations took and what that costs: sums of whole numbers, as functions in a cloud are billed.
//!
//! Memory counts for the time that the step's process ran, rounded up to a whole millisecond: what the step has set aside for itself (`resources.memory`), or
//! where it says nothing the most that it had. An attempt counts like any other, also one that failed; one whose process never began does not.

use serde::{Deserialize, Serialize};

use crate::model::invocation::InvocationRecord;
use crate::model::settings::{Price, Prices};

/// Bytes for milliseconds in a GB-second. A GB is 1024³ bytes, as clouds count it.
const GB_SECOND: u128 = (1 << 30) * 1000;

/// Of one invocation, or of many together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Whose process has begun.
    pub invocations: u64,
    pub run_us: u64,
    pub cpu_us: u64,
    /// The largest of any of them.
    pub peak_memory_bytes: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    #[serde(with = "as_text")]
    byte_milliseconds: u128,
}

/// JSON's numbers end long before this one.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(number: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Usage {
    /// `None` for one whose process never began.
    pub fn of(record: &InvocationRecord, set_aside: Option<u64>) -> Option<Self> {
        let run_us = record.phases.run_us;
        if !record.started && run_us == 0 {
            return None;
        }
        let memory = set_aside.unwrap_or(record.peak_memory_bytes);
        Some(Self {
            invocations: 1,
            run_us,
            cpu_us: record.cpu_user_us.saturating_add(record.cpu_system_us),
            peak_memory_bytes: record.peak_memory_bytes,
            read_bytes: record.read_bytes,
            written_bytes: record.written_bytes,
            byte_milliseconds: u128::from(memory).saturating_mul(u128::from(run_us.div_ceil(1000))),
        })
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            invocations: self.invocations.saturating_add(other.invocations),
            run_us: self.run_us.saturating_add(other.run_us),
            cpu_us: self.cpu_us.saturating_add(other.cpu_us),
            peak_memory_bytes: self.peak_memory_bytes.max(other.peak_memory_bytes),
            read_bytes: self.read_bytes.saturating_add(other.read_bytes),
            written_bytes: self.written_bytes.saturating_add(other.written_bytes),
            byte_milliseconds: self.byte_milliseconds.saturating_add(other.byte_milliseconds),
        }
    }

    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), Self::and)
    }

    /// In units of 10⁻¹².
    pub fn gb_seconds(&self) -> u128 {
        product(self.byte_milliseconds, 1_000_000_000_000, GB_SECOND)
    }

    /// In units of 10⁻¹² of the currency; `None` where nothing has a price. Of a sum it is the exact one: only the last step is rounded.
    pub fn cost(&self, prices: &Prices) -> Option<u128> {
        let units = |price: Option<Price>| price.map_or(0, |price| u128::from(price.0));
        prices.any().then(|| {
            product(self.byte_milliseconds, units(prices.gb_second), GB_SECOND)
                .saturating_add(u128::from(self.invocations).saturating_mul(units(prices.request)))
                .saturating_add(product(u128::from(self.cpu_us), units(prices.cpu_second), 1_000_000))
        })
    }
}

/// `amount · each / of`, to the nearest.
fn product(amount: u128, each: u128, of: u128) -> u128 {
    (amount.saturating_mul(each).saturating_add(of / 2)) / of
}

/// Units of 10⁻¹² with so many digits behind the point, to the nearest.
pub fn decimal(units: u128, digits: u32) -> String {
    let digits = digits.min(12);
    let step = 10_u128.pow(12 - digits);
    let rounded = (units.saturating_add(step / 2)) / step;
    let one = 10_u128.pow(digits);
    match digits {
        0 => rounded.to_string(),
        digits => format!("{}.{:0width$}", rounded / one, rounded % one, width = digits as usize),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::invocation::Phases;

    fn record(run_us: u64, peak: u64) -> InvocationRecord {
        InvocationRecord { started: true, phases: Phases { run_us, ..Phases::default() }, peak_memory_bytes: peak, ..InvocationRecord::default() }
    }

    fn lambda() -> Prices {
        Prices { gb_second: Some(Price(16_666_700)), request: Some(Price(200_000)), cpu_second: None, currency: Some("USD".to_owned()) }
    }

    #[test]
    fn memory_that_is_set_aside_counts_whatever_of_it_was_needed() {
        // A second with 1 GiB is one GB-second; one with half of it, half.
        let usage = |run_us, peak, set_aside| Usage::of(&record(run_us, peak), set_aside).unwrap();
        assert_eq!(decimal(usage(1_000_000, 1 << 20, Some(1 << 30)).gb_seconds(), 6), "1.000000");
        assert_eq!(decimal(usage(1_000_000, 1 << 29, None).gb_seconds(), 6), "0.500000");
        // A millisecond is the least that counts, and a part of one counts as one.
        assert_eq!(usage(1, 1 << 30, None).gb_seconds(), usage(1000, 1 << 30, None).gb_seconds());
        assert_eq!(usage(1001, 1 << 30, None).gb_seconds(), 2 * usage(1000, 1 << 30, None).gb_seconds());
    }

    #[test]
    fn it_costs_what_a_cloud_would_ask() {
        // Lambda's own example: 3 million requests, 120 ms each, 1536 MB: 540,000 GB-seconds, 9.00 and 0.60 dollars.
        let one = Usage::of(&record(120_000, 0), Some(1536 << 20)).unwrap();
        let all = Usage { invocations: 3_000_000, byte_milliseconds: one.byte_milliseconds * 3_000_000, ..one };
        assert_eq!(decimal(all.gb_seconds(), 3), "540000.000");
        assert_eq!(decimal(all.cost(&lambda()).unwrap(), 2), "9.60");
        assert_eq!(one.cost(&Prices::default()), None);
        let processor = Prices { cpu_second: Some(Price(1_000_000_000_000)), ..Prices::default() };
        assert_eq!(Usage { cpu_us: 1_500_000, ..one }.cost(&processor), Some(1_500_000_000_000));
    }

    #[test]
    fn what_never_began_costs_nothing() {
        assert_eq!(Usage::of(&InvocationRecord { peak_memory_bytes: 7, ..InvocationRecord::default() }, Some(1 << 30)), None);
        assert!(Usage::of(&InvocationRecord { started: false, ..record(5, 0) }, None).is_some(), "older journals do not say that it began");
    }

    #[test]
    fn decimals() {
        let said = |units, digits| decimal(units, digits);
        assert_eq!(
            [said(0, 2), said(16_666_700, 12), said(16_666_700, 9), said(999_999_999_999, 2), said(1_500_000_000_000, 0)],
            ["0.00", "0.000016666700", "0.000016667", "1.00", "2"]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The cost of the sum is the sum of the costs, but for half a unit of rounding for each price of each.
        #[test]
        fn sums_lose_nothing(all in prop::collection::vec((0..10_000_000_000_u64, 0..1_u64 << 40, any::<Option<u32>>(), 0..1_u64 << 40), 0..50)) {
            let usages: Vec<Usage> = all
                .iter()
                .filter_map(|(run_us, peak, set_aside, cpu)| {
                    Usage::of(&InvocationRecord { cpu_user_us: *cpu, ..record(*run_us, *peak) }, set_aside.map(u64::from))
                })
                .collect();
            let prices = Prices { cpu_second: Some(Price(3)), ..lambda() };
            let whole = Usage::sum(usages.iter().copied());
            let parts: u128 = usages.iter().map(|usage| usage.cost(&prices).unwrap()).sum();
            prop_assert!(whole.cost(&prices).unwrap().abs_diff(parts) <= usages.len() as u128 + 1);
            prop_assert_eq!(whole.invocations, usages.len() as u64);
            prop_assert_eq!(whole.peak_memory_bytes, usages.iter().map(|usage| usage.peak_memory_bytes).max().unwrap_or(0));
        }

        #[test]
        fn nothing_is_too_much(run_us: u64, peak: u64, cpu: u64, price: u64) {
            let usage = Usage::of(&InvocationRecord { cpu_user_us: cpu, cpu_system_us: cpu, ..record(run_us, peak) }, None).unwrap();
            let price = Some(Price(price));
            let _ = usage.and(usage).cost(&Prices { gb_second: price, request: price, cpu_second: price, currency: None });
        }
    }
}
