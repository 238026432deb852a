//! Every deadline of the engine, in one table.

use sync_types::MonoMs;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Try to connect again.
    Reconnect,
    /// Opening, handshake and HELLO must be done.
    Greeting,
    /// The relay has been silent: ask whether it is there.
    Silence,
    /// It must have answered.
    Presence,
    /// It must have answered some request, or at least be in the midst of it.
    Answer,
    /// Send no requests before this: the relay asked to wait.
    Pause,
    /// Send no pushes before this: the relay is full.
    PushPause,
    /// The app has not read for a while: do not wait for it any longer.
    Reader,
    /// Ask the relay who is there, and up to where they have everything.
    Roll,
    /// Somebody should have announced himself by now.
    Strangers,
}

impl Timer {
    const ALL: [Self; 10] = [
        Self::Reconnect,
        Self::Greeting,
        Self::Silence,
        Self::Presence,
        Self::Answer,
        Self::Pause,
        Self::PushPause,
        Self::Reader,
        Self::Roll,
        Self::Strangers,
    ];
}

#[derive(Debug, Default)]
pub(crate) struct Timers([Option<MonoMs>; Timer::ALL.len()]);

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: MonoMs) {
        self.0[timer as usize] = Some(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    pub(crate) fn next(&self) -> Option<MonoMs> {
        self.0.iter().flatten().min().copied()
    }

    /// Stops and gives one timer whose time has come.
    pub(crate) fn expired(&mut self, now: MonoMs) -> Option<Timer> {
        let timer = Timer::ALL.into_iter().find(|t| self.0[*t as usize].is_some_and(|at| at <= now))?;
        self.stop(timer);
        Some(timer)
    }
}
