//! Work whose mistakes are its own.

use tokio::task::JoinSet;

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

#[cfg(test)]
mod tests {
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
}
