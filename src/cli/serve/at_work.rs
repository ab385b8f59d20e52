//! What a server does all the time, each part a task. None of them ends before the server does: one that has was a mistake of ours.

use futures_util::future::select_all;
use tokio::task::JoinHandle;

#[derive(Debug, Default)]
pub(super) struct AtWork(Vec<(&'static str, JoinHandle<()>)>);

impl AtWork {
    pub fn begin(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.0.push((name, tokio::spawn(work)));
    }

    /// Until one has ended: which, and why. A server without it would take what it never does anything with; the next one finds everything on disk.
    pub async fn ended(&mut self) -> String {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let (ended, at, _) = select_all(self.0.iter_mut().map(|(_, task)| task)).await;
        let (name, _) = self.0.swap_remove(at);
        match ended {
            Ok(()) => format!("the part that {name} has ended"),
            Err(why) => format!("the part that {name} has ended by a mistake of Tidegate's own: {why}"),
        }
    }

    pub fn abort(self) {
        self.0.iter().for_each(|(_, task)| task.abort());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_ended_is_named_whether_by_a_mistake_or_not() {
        let mut work = AtWork::default();
        work.begin("waits", std::future::pending());
        work.begin("decides", async { assert!(std::hint::black_box(false), "a mistake") });
        let said = work.ended().await;
        assert!(said.contains("the part that decides") && said.contains("a mistake\""), "{said}");
        work.begin("looks", std::future::ready(()));
        assert_eq!(work.ended().await, "the part that looks has ended");
        work.abort();
    }

    #[tokio::test]
    async fn what_is_aborted_is_gone() {
        let (held, gone) = tokio::sync::oneshot::channel::<()>();
        let mut work = AtWork::default();
        work.begin("waits", async move {
            let _held = held;
            std::future::pending().await
        });
        work.abort();
        assert!(gone.await.is_err());
    }
}
