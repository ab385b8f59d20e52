//! Work whose mistakes are its own.

use std::convert::Infallible;
use std::time::Duration;

use tokio::task::JoinSet;

/// What is said of work that ends and never should.
const ENDED: &str = "it has ended";

/// Why, if it has panicked. Whoever stops waiting for it stops it.
pub(super) async fn alone<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    match tasks.join_next().await {
        Some(Ok(done)) => Ok(done),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it was not done".to_owned()),
    }
}

/// Work without an end: after a mistake of ours it is begun anew, a pause later. It must have nothing in memory that is not on disk as well.
pub(super) async fn for_ever<W: Future<Output = ()> + Send + 'static>(begin: impl Fn() -> W, pause: Duration, tell: impl Fn(&str)) -> Infallible {
    loop {
        match alone(begin()).await {
            Ok(()) => tell(ENDED),
            Err(why) => tell(&why),
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_panics_takes_nobody_with_it() {
        let fails = alone(async {
            if std::hint::black_box(true) {
                panic!("a mistake")
            }
        });
        assert!(fails.await.is_err_and(|why| why.contains("a mistake")));
        assert_eq!(alone(async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn nobody_goes_on_with_what_nobody_waits_for() {
        let (held, gone) = tokio::sync::oneshot::channel::<()>();
        let work = alone(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        tokio::select! {
            biased;
            _ = work => panic!("it never ends"),
            () = tokio::task::yield_now() => {}
        }
        assert!(gone.await.is_err());
    }

    #[tokio::test]
    async fn what_never_ends_goes_on_after_each_mistake() {
        let (begun, told) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let (sender, mut went_on) = tokio::sync::mpsc::channel(1);
        let begin = || {
            let (time, sender) = (begun.fetch_add(1, Ordering::SeqCst), sender.clone());
            async move {
                match time {
                    0 => panic!("a mistake"),
                    1 => {}
                    _ => {
                        sender.send(time).await.expect("somebody waits");
                        std::future::pending().await
                    }
                }
            }
        };
        let tell = |why: &str| told.lock().expect("a list").push(why.to_owned());
        tokio::select! {
            never = for_ever(begin, Duration::ZERO, tell) => match never {},
            time = went_on.recv() => assert_eq!(time, Some(2)),
        }
        let told = told.into_inner().expect("a list");
        assert!(matches!(told.as_slice(), [first, second] if first.contains("a mistake") && second == ENDED), "{told:?}");
    }
}
