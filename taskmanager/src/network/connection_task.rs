//! Moves one side of a connection and its socket: frames in, frames out, time, wakes. One task, so that the side has one
//! owner and needs no lock.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::decoder::FrameDecoder;
use super::endpoint::{ConnectionEndpoint, ConnectionError, Wake, lock};
use super::wire::{Received, Wire};

/// Reads and writes of one direction before the other has its turn.
const TURNS: usize = 4;

/// Rounds before other connections of the thread have their turn.
const ROUNDS: usize = 16;

/// Longest time spent on the last words to a peer that is refused.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Wakes a connection from any thread; cheap when it is awake already.
#[derive(Default)]
pub(super) struct Signal {
    raised: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    pub(super) fn wake(self: &Arc<Self>) -> Wake {
        let signal = Arc::clone(self);
        Arc::new(move || signal.raise())
    }

    fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel)
            && let Some(waker) = &*lock(&self.waker)
        {
            waker.wake_by_ref();
        }
    }

    /// Whoever raises the signal after this wakes the task of `cx`.
    fn register(&self, cx: &Context<'_>) {
        let mut waker = lock(&self.waker);
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    fn take(&self) -> bool {
        self.raised.load(Ordering::Acquire) && self.raised.swap(false, Ordering::AcqRel)
    }
}

/// One side of a connection with its socket.
pub(super) struct Driver {
    pub(super) side: Box<dyn ConnectionEndpoint>,
    wire: Wire,
    decoder: FrameDecoder,
    signal: Arc<Signal>,
    origin: Instant,
    timer: Pin<Box<Sleep>>,
    /// Called once when the peer has proved who it is.
    on_established: Option<Box<dyn FnOnce() + Send>>,
}

impl Driver {
    /// `origin` is the moment from which the side counts time.
    pub(super) fn new(
        side: Box<dyn ConnectionEndpoint>,
        wire: Wire,
        decoder: FrameDecoder,
        signal: Arc<Signal>,
        origin: Instant,
        on_established: Box<dyn FnOnce() + Send>,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(origin + side.deadline()));
        Self { side, wire, decoder, signal, origin, timer, on_established: Some(on_established) }
    }

    /// Runs the connection to its end. The side has ended its channels when this returns.
    pub(super) async fn run(mut self) -> Result<(), ConnectionError> {
        let result = poll_fn(|cx| self.poll(cx)).await;
        if let Err(error) = &result {
            let last_words = tokio::time::timeout(CLOSE_TIMEOUT, self.send_failure(error)).await;
            // Nobody is left to be told of an error there.
            drop(last_words);
            self.side.shut_down(error);
        }
        result
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        self.signal.register(cx);
        for _ in 0..ROUNDS {
            let progress = self.round(cx)?;
            if self.side.is_done() {
                return Poll::Ready(Ok(()));
            }
            if !progress && !self.tick(cx)? {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionError> {
        let mut progress = self.signal.take();
        if progress {
            let now = self.now();
            self.side.on_wake(now)?;
        }
        progress |= self.receive(cx)?;
        progress |= self.send(cx)?;
        Ok(progress)
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionError> {
        let now = self.now();
        let Self { side, wire, decoder, on_established, .. } = self;
        let mut take_frames = |decoder: &mut FrameDecoder| {
            while let Some(frame) = decoder.next_frame()? {
                side.on_frame(now, frame)?;
            }
            if side.is_established()
                && let Some(on_established) = on_established.take()
            {
                on_established();
            }
            Ok(())
        };
        for turn in 0..TURNS {
            match wire.poll_receive(cx, decoder, &mut take_frames)? {
                Poll::Pending => return Ok(turn > 0),
                Poll::Ready(Received::End) => return Err(ConnectionError::ClosedByPeer),
                Poll::Ready(Received::Some) => {}
            }
        }
        Ok(true)
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionError> {
        for turn in 0..TURNS {
            if !self.wire.pull(self.side.as_mut())? || self.wire.poll_send(cx)?.is_pending() {
                return Ok(turn > 0);
            }
        }
        Ok(true)
    }

    fn tick(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionError> {
        let deadline = self.origin + self.side.deadline();
        // Deadlines mostly move away as the peer is heard: the timer is left to fire at the old one then.
        if deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        let now = self.now();
        if self.side.deadline() <= now {
            self.side.on_tick(now)?;
        }
        let next = self.origin + self.side.deadline();
        self.timer.as_mut().reset(next);
        Ok(true)
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn send_failure(&mut self, error: &ConnectionError) -> Result<(), ConnectionError> {
        let (side, wire) = (&mut self.side, &mut self.wire);
        if wire.is_open() {
            wire.append(|out| side.refuse(error, out));
        }
        poll_fn(|cx| self.drain(cx)).await
    }

    /// Sends what is there; a shut-down side makes nothing new.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        while self.wire.flush()? {
            if self.wire.poll_send(cx)?.is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}
