//! What systemd is told about this process (`Type=notify`). Where nobody asked to be told (`NOTIFY_SOCKET`), nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// It serves.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// It looks at its settings again; [`ready`] says that it has.
pub fn reloading() {
    // Newer ones want to know when, so as not to take an older `READY=1` for the answer.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It ends, and that takes up to `within`: what is under way is let end.
pub fn stopping(within: Duration) {
    let micros = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

/// One line of what it does, for `systemctl status`.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&line(status))]);
}

/// Tells in time that this runtime still gets to its tasks, if somebody watches (`WATCHDOG_USEC`). Never ends.
pub async fn keep_watchdog() {
    let Some(patience) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    // Half of it, as systemd's own manual has it: one that comes late does no harm.
    let mut beats = tokio::time::interval((patience / 2).max(Duration::from_millis(1)));
    loop {
        beats.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd could not be told how this process is: {error}");
    }
}

/// Each line is a word to systemd: one that came from elsewhere must not be one of its own.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
