//! What invocations took and what that costs: sums of whole numbers, as functions in a cloud are billed.
//!
//! Memory counts for the time that the step's process ran, rounded up to a whole millisecond: what the step has set aside for itself (`resources.memory`), or
//! where it says nothing the most that it had. An attempt counts like any other, also one that failed; one whose process never began does not.
//!
//! What nobody has measured is not nothing: such a figure is absent, and a sum says of how many it is without something.

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<u64>,
    /// The largest of any of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
    /// Of how many at least one of these was not measured: sums are without them.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub unmeasured: u64,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_text")]
    byte_milliseconds: Option<u128>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_nothing(number: &u64) -> bool {
    *number == 0
}

/// JSON's numbers end long before this one.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::ref_option, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(number: &Option<u128>, to: S) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => to.collect_str(number),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u128>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

impl Usage {
    /// `None` for one whose process never began.
    pub fn of(record: &InvocationRecord, set_aside: Option<u64>) -> Option<Self> {
        let run_us = record.phases.run_us;
        if !record.started && run_us == 0 {
            return None;
        }
        let memory = set_aside.or(record.peak_memory_bytes);
        let figures = [record.cpu_us(), record.peak_memory_bytes, record.read_bytes, record.written_bytes];
        Some(Self {
            invocations: 1,
            run_us,
            cpu_us: record.cpu_us(),
            peak_memory_bytes: record.peak_memory_bytes,
            read_bytes: record.read_bytes,
            written_bytes: record.written_bytes,
            unmeasured: u64::from(figures.contains(&None)),
            byte_milliseconds: memory.map(|memory| u128::from(memory).saturating_mul(u128::from(run_us.div_ceil(1000)))),
        })
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            invocations: self.invocations.saturating_add(other.invocations),
            run_us: self.run_us.saturating_add(other.run_us),
            cpu_us: both(self.cpu_us, other.cpu_us, u64::saturating_add),
            peak_memory_bytes: both(self.peak_memory_bytes, other.peak_memory_bytes, u64::max),
            read_bytes: both(self.read_bytes, other.read_bytes, u64::saturating_add),
            written_bytes: both(self.written_bytes, other.written_bytes, u64::saturating_add),
            unmeasured: self.unmeasured.saturating_add(other.unmeasured),
            byte_milliseconds: both(self.byte_milliseconds, other.byte_milliseconds, u128::saturating_add),
        }
    }

    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), Self::and)
    }

    /// In units of 10⁻¹².
    pub fn gb_seconds(&self) -> Option<u128> {
        self.byte_milliseconds.map(|amount| product(amount, 1_000_000_000_000, GB_SECOND))
    }

    /// In units of 10⁻¹² of the currency; `None` where nothing has a price, or what has one was not measured. Of a sum it is the exact one: only the last step
    /// is rounded.
    pub fn cost(&self, prices: &Prices) -> Option<u128> {
        // Nothing has cost nothing.
        let priced = |price: Option<Price>, amount: Option<u128>, of: u128| match (price, amount) {
            (None, _) => Some(0),
            (Some(price), amount) => amount.or((self.invocations == 0).then_some(0)).map(|amount| product(amount, u128::from(price.0), of)),
        };
        if !prices.any() {
            return None;
        }
        let memory = priced(prices.gb_second, self.byte_milliseconds, GB_SECOND)?;
        let processor = priced(prices.cpu_second, self.cpu_us.map(u128::from), 1_000_000)?;
        let requests = u128::from(self.invocations).saturating_mul(prices.request.map_or(0, |price| u128::from(price.0)));
        Some(memory.saturating_add(requests).saturating_add(processor))
    }
}

/// Of two of which either may not have been measured.
fn both<T>(one: Option<T>, other: Option<T>, join: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(join(one, other)),
        (one, other) => one.or(other),
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
        InvocationRecord {
            started: true,
            phases: Phases { run_us, ..Phases::default() },
            peak_memory_bytes: Some(peak),
            ..InvocationRecord::default()
        }
    }

    fn lambda() -> Prices {
        Prices { gb_second: Some(Price(16_666_700)), request: Some(Price(200_000)), cpu_second: None, currency: Some("USD".to_owned()) }
    }

    #[test]
    fn memory_that_is_set_aside_counts_whatever_of_it_was_needed() {
        // A second with 1 GiB is one GB-second; one with half of it, half.
        let usage = |run_us, peak, set_aside| Usage::of(&record(run_us, peak), set_aside).unwrap();
        assert_eq!(decimal(usage(1_000_000, 1 << 20, Some(1 << 30)).gb_seconds().unwrap(), 6), "1.000000");
        assert_eq!(decimal(usage(1_000_000, 1 << 29, None).gb_seconds().unwrap(), 6), "0.500000");
        // A millisecond is the least that counts, and a part of one counts as one.
        assert_eq!(usage(1, 1 << 30, None).gb_seconds(), usage(1000, 1 << 30, None).gb_seconds());
        assert_eq!(usage(1001, 1 << 30, None).gb_seconds(), usage(2000, 1 << 30, None).gb_seconds());
    }

    #[test]
    fn it_costs_what_a_cloud_would_ask() {
        // Lambda's own example: 3 million requests, 120 ms each, 1536 MB: 540,000 GB-seconds, 9.00 and 0.60 dollars.
        let one = Usage::of(&record(120_000, 0), Some(1536 << 20)).unwrap();
        let all = Usage { invocations: 3_000_000, byte_milliseconds: one.byte_milliseconds.map(|amount| amount * 3_000_000), ..one };
        assert_eq!(decimal(all.gb_seconds().unwrap(), 3), "540000.000");
        assert_eq!(decimal(all.cost(&lambda()).unwrap(), 2), "9.60");
        assert_eq!(one.cost(&Prices::default()), None);
        let processor = Prices { cpu_second: Some(Price(1_000_000_000_000)), ..Prices::default() };
        assert_eq!(Usage { cpu_us: Some(1_500_000), ..one }.cost(&processor), Some(1_500_000_000_000));
    }

    #[test]
    fn what_never_began_costs_nothing() {
        assert_eq!(Usage::of(&InvocationRecord { peak_memory_bytes: Some(7), ..InvocationRecord::default() }, Some(1 << 30)), None);
        assert!(Usage::of(&InvocationRecord { started: false, ..record(5, 0) }, None).is_some(), "older journals do not say that it began");
    }

    #[test]
    fn what_nobody_measured_is_absent_and_a_sum_says_that_it_is_without_it() {
        let blind = |set_aside| Usage::of(&InvocationRecord { peak_memory_bytes: None, ..record(1_000_000, 0) }, set_aside).unwrap();
        let one = blind(None);
        assert_eq!((one.cpu_us, one.peak_memory_bytes, one.read_bytes, one.gb_seconds(), one.unmeasured), (None, None, None, None, 1));
        assert_eq!(one.cost(&lambda()), None, "what it costs follows from what was not measured");
        assert_eq!(one.cost(&Prices { request: Some(Price(7)), ..Prices::default() }), Some(7));
        // What is set aside is known without.
        assert!(blind(Some(1 << 30)).cost(&lambda()).is_some());
        let seen = Usage::of(
            &InvocationRecord {
                cpu_user_us: Some(3),
                cpu_system_us: Some(4),
                read_bytes: Some(0),
                written_bytes: Some(5),
                ..record(1_000_000, 1 << 30)
            },
            None,
        );
        let sum = Usage::sum([one, seen.unwrap()]);
        assert_eq!((sum.invocations, sum.unmeasured, sum.cpu_us, sum.written_bytes), (2, 1, Some(7), Some(5)));
        assert_eq!(sum.gb_seconds(), seen.unwrap().gb_seconds());
        assert_eq!(Usage::default().cost(&lambda()), Some(0), "nothing costs nothing");
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(text, r#"{"invocations":1,"run_us":1000000,"unmeasured":1}"#);
        for usage in [one, sum] {
            assert_eq!(serde_json::from_str::<Usage>(&serde_json::to_string(&usage).unwrap()).unwrap(), usage);
        }
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
                    Usage::of(&InvocationRecord { cpu_user_us: Some(*cpu), cpu_system_us: Some(0), ..record(*run_us, *peak) }, set_aside.map(u64::from))
                })
                .collect();
            let prices = Prices { cpu_second: Some(Price(3)), ..lambda() };
            let whole = Usage::sum(usages.iter().copied());
            let parts: u128 = usages.iter().map(|usage| usage.cost(&prices).unwrap()).sum();
            prop_assert!(whole.cost(&prices).unwrap().abs_diff(parts) <= usages.len() as u128 + 1);
            prop_assert_eq!(whole.invocations, usages.len() as u64);
            prop_assert_eq!(whole.peak_memory_bytes, usages.iter().filter_map(|usage| usage.peak_memory_bytes).max());
        }

        #[test]
        fn nothing_is_too_much(run_us: u64, peak: u64, cpu: u64, price: u64) {
            let usage = Usage::of(&InvocationRecord { cpu_user_us: Some(cpu), cpu_system_us: Some(cpu), ..record(run_us, peak) }, None).unwrap();
            let price = Some(Price(price));
            let _ = usage.and(usage).cost(&Prices { gb_second: price, request: price, cpu_second: price, currency: None });
        }
    }
}
