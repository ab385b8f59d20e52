//! What every provider promises. A new one adds a line to `providers`.

use std::path::PathBuf;
use std::time::Duration;

use tidegate::adapters::provider::local::Local;
use tidegate::adapters::provider::{AnyProvider, Provider, ProviderError, open};
use tidegate::model::function::{Function, Target};
use tidegate::model::id::Digest;
use tidegate::model::traffic::{Destination, TrafficSplit, Weight};

use crate::packages::{function, options, with_env, zip_fixture, zip_of};

/// One provider, empty, with what it takes to keep it.
struct Subject<P> {
    name: &'static str,
    provider: P,
    folder: tempfile::TempDir,
    _host: Option<Local>,
}

/// `local` twice: hosted in this process, and reached over the control socket.
async fn providers() -> Vec<Subject<AnyProvider>> {
    let folder = tempfile::tempdir().unwrap();
    let here = open(&Target::Local, folder.path(), &options()).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let host = Local::connect(other.path(), &options()).await.unwrap();
    let there = open(&Target::Local, other.path(), &options()).await.unwrap();
    vec![
        Subject { name: "local, here", provider: here, folder, _host: None },
        Subject { name: "local, there", provider: there, folder: other, _host: Some(host) },
    ]
}

impl<P: Provider> Subject<P> {
    fn package(&self) -> (PathBuf, Digest) {
        zip_fixture(self.folder.path(), "hello-python")
    }

    async fn publish(&self, function: &Function) -> Destination {
        let (zip, digest) = self.package();
        Destination::Release(self.provider.publish(function, &zip, &digest).await.unwrap().id)
    }
}

fn half() -> Weight {
    Weight::from_basis_points(5000).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_is_idempotent_by_content() {
    for subject in providers().await {
        let (zip, digest) = subject.package();
        let (plain, changed) = (function("f"), with_env(function("f"), "GREETING", "other"));
        let first = subject.provider.publish(&plain, &zip, &digest).await.unwrap();
        assert_eq!(subject.provider.publish(&plain, &zip, &digest).await.unwrap(), first, "{}", subject.name);
        let second = subject.provider.publish(&changed, &zip, &digest).await.unwrap();
        assert_eq!((first.version, second.version), (1, 2), "{}", subject.name);
        assert_ne!(first.id, second.id);
        assert_eq!(first.artifact, digest);
        assert_eq!(subject.provider.publish(&plain, &zip, &digest).await.unwrap(), first, "a later release does not change an earlier one");
        let other = subject.provider.publish(&function("g"), &zip, &digest).await.unwrap();
        assert_eq!(other.version, 1, "every function counts for itself");
        assert_eq!(subject.provider.version("f", &second.id).await, Ok(Some(2)), "{}: releases are known by their numbers", subject.name);
        assert_eq!(subject.provider.version("g", &second.id).await, Ok(None), "{}", subject.name);
        assert_eq!(subject.provider.version("never", &second.id).await, Ok(None), "{}", subject.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_split_is_changed_by_compare_and_set() {
    for Subject { name, provider, folder, _host } in providers().await {
        let subject = Subject { name, provider, folder, _host };
        let vacant = subject.provider.traffic("f").await.unwrap();
        assert_eq!((vacant.split, vacant.revision), (TrafficSplit::all(Destination::Vacant), 0), "{name}");
        let one = subject.publish(&function("f")).await;
        let two = subject.publish(&with_env(function("f"), "A", "1")).await;
        let first = subject.provider.shift("f", &TrafficSplit::all(one.clone()), 0).await.unwrap();
        assert_eq!(subject.provider.shift("f", &TrafficSplit::all(one.clone()), 0).await, Ok(first), "{name}: again is no change, as after a crash");
        let split = TrafficSplit::between(one.clone(), two.clone(), half());
        let second = subject.provider.shift("f", &split, first).await.unwrap();
        assert_ne!(first, second);
        let stale = subject.provider.shift("f", &TrafficSplit::all(one), first).await;
        assert_eq!(stale, Err(ProviderError::Conflict { expected: first, found: second }), "{name}");
        let state = subject.provider.traffic("f").await.unwrap();
        assert_eq!((state.split, state.revision), (split, second), "{name}: a conflict changes nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_only_goes_to_what_is_published() {
    for subject in providers().await {
        let provider = &subject.provider;
        let stranger = Destination::Release(tidegate::model::release::ReleaseId::new(Digest::from_sha256([9; 32])));
        assert!(matches!(provider.shift("f", &TrafficSplit::all(stranger.clone()), 0).await, Err(ProviderError::Rejected(_))), "{}", subject.name);
        let one = subject.publish(&function("f")).await;
        for to in [stranger, Destination::Upstream("http://legacy".to_owned())] {
            let refused = provider.shift("f", &TrafficSplit::between(one.clone(), to, half()), 0).await;
            assert!(matches!(refused, Err(ProviderError::Rejected(_))), "{}: {refused:?}", subject.name);
        }
        assert!(matches!(provider.probe("nobody", "/", None).await, Err(ProviderError::Rejected(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_observed_exactly_once() {
    const REQUESTS: u64 = 200;
    for subject in providers().await {
        let provider = &subject.provider;
        let (one, two) = (subject.publish(&function("f")).await, subject.publish(&with_env(function("f"), "A", "1")).await);
        let revision = provider.shift("f", &TrafficSplit::all(one.clone()), 0).await.unwrap();
        provider.probe("f", "/", None).await.unwrap();
        provider.shift("f", &TrafficSplit::between(one.clone(), two.clone(), half()), revision).await.unwrap();
        let (mut seen, mut failed) = (0, 0);
        for n in 0..REQUESTS {
            let path = if n % 10 == 0 { "/status/500" } else { "/" };
            provider.probe("f", path, None).await.unwrap();
            if n % 50 == 49 {
                let batch = provider.observe("f", &one, &two, Some(Duration::ZERO)).await.unwrap();
                seen += batch.stable.requests + batch.canary.requests;
                failed += batch.stable.errors + batch.canary.errors;
                assert_eq!((batch.stable.slow, batch.canary.slow), (batch.stable.warm, batch.canary.warm));
                assert!(batch.stable.requests > 0 && batch.canary.requests > 0, "{}: half of 50 is not none", subject.name);
            }
        }
        assert_eq!((seen, failed), (REQUESTS, REQUESTS / 10), "{}", subject.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prewarmed_instances_are_ready_and_may_be_asked_for_again() {
    for subject in providers().await {
        let (zip, digest) = subject.package();
        let release = subject.provider.publish(&function("f"), &zip, &digest).await.unwrap();
        let cold_starts = subject.provider.prewarm(&release, 2).await.unwrap();
        assert_eq!(cold_starts.len(), 2, "{}", subject.name);
        assert_eq!(subject.provider.prewarm(&release, 2).await.unwrap(), cold_starts, "{}", subject.name);
        let to = Destination::Release(release.id.clone());
        subject.provider.shift("f", &TrafficSplit::all(to.clone()), 0).await.unwrap();
        subject.provider.probe("f", "/", None).await.unwrap();
        let batch = subject.provider.observe("f", &Destination::Vacant, &to, None).await.unwrap();
        assert_eq!((batch.canary.requests, batch.canary.warm), (1, 1), "{}: the first request is warm", subject.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_published_is_rejected_and_leaves_nothing() {
    for subject in providers().await {
        let (zip, digest) = subject.package();
        let folder = tempfile::tempdir().unwrap();
        let (bad, bad_digest) = zip_of(folder.path(), &[("../../evil", b"x", false), ("bootstrap", b"#!/bin/sh", true)]);
        let mut python = function("f");
        python.runtime = "python3.13".to_owned();
        let attempts = [
            (function("f"), zip.clone(), Digest::from_sha256([0; 32]), "is not what was asked for"),
            (function("f"), zip.with_file_name("missing.zip"), digest.clone(), "can not be read"),
            (function("f"), folder.path().to_owned(), digest.clone(), "is a folder, expected a zip"),
            (function("f"), bad, bad_digest, "\"../../evil\" leads outside"),
            (python, zip.clone(), digest.clone(), "not supported by the local provider"),
            (with_env(function("f"), "AWS_REGION", "moon"), zip.clone(), digest.clone(), "AWS_REGION is set by the runtime itself"),
        ];
        for (function, zip, digest, expected) in attempts {
            let Err(ProviderError::Rejected(why)) = subject.provider.publish(&function, &zip, &digest).await else {
                panic!("{}: {expected}", subject.name)
            };
            assert!(why.contains(expected), "{}: {why}", subject.name);
        }
        let first = subject.provider.publish(&function("f"), &zip, &digest).await.unwrap();
        assert_eq!(first.version, 1, "{}", subject.name);
    }
}

#[tokio::test]
async fn targets_that_are_not_there_yet_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::Aws { region: "eu-west-1".to_owned(), role: None, alias: "live".to_owned() };
    let refused = open(&target, folder.path(), &options()).await.unwrap_err();
    assert_eq!(refused, ProviderError::Rejected("not supported yet: deploying to the provider aws; use target: { provider: local }".to_owned()));
}
