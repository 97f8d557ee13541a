//! What an activation is told from outside. Orders only escalate: who is to be destroyed is not put to
//! sleep instead.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::Notify;

/// What an activation is to do, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Move to the current revision of its component; waiting calls stay.
    Upgrade = 1,
    /// Leave memory.
    Sleep = 2,
    /// Leave memory and be removed for good.
    Destroy = 3,
}

/// The strongest order so far. The activation's loop and its watchdog wait for it; anybody may give it.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    strongest: AtomicU8,
    /// An instance has made way for the next, which has not started yet.
    is_between: AtomicBool,
    given: Notify,
}

impl Orders {
    pub(crate) fn give(&self, order: Order) {
        let before = self.strongest.fetch_max(order as u8, Ordering::AcqRel);
        if before < order as u8 {
            self.given.notify_waiters();
        }
    }

    /// Waits for an order stronger than `than`. Cancel-safe.
    pub(crate) async fn stronger(&self, than: Option<Order>) -> Order {
        loop {
            let mut given = std::pin::pin!(self.given.notified());
            // Listening before looking: an order in between is not missed.
            given.as_mut().enable();
            if let Some(order) = self.strongest().filter(|order| Some(*order) > than) {
                return order;
            }
            given.await;
        }
    }

    /// The next instance has started.
    pub(crate) fn set_started(&self) {
        self.is_between.store(false, Ordering::Release);
        self.given.notify_waiters();
    }

    /// Waits until there is an instance that has started, or that is the first. Cancel-safe.
    pub(crate) async fn started(&self) {
        loop {
            let mut given = std::pin::pin!(self.given.notified());
            given.as_mut().enable();
            if !self.is_between.load(Ordering::Acquire) {
                return;
            }
            given.await;
        }
    }

    /// An upgrade has been carried out; unless something stronger came meanwhile, nothing is left to do but to start.
    pub(crate) fn upgraded(&self) {
        self.is_between.store(true, Ordering::Release);
        let upgrade = Order::Upgrade as u8;
        // Failing means that something stronger came, which stays.
        _ = self
            .strongest
            .compare_exchange(upgrade, 0, Ordering::AcqRel, Ordering::Acquire);
        self.given.notify_waiters();
    }

    /// Waits until no upgrade is left to be carried out, because it has been, or because something stronger is.
    /// Cancel-safe.
    pub(crate) async fn no_upgrade(&self) {
        loop {
            let mut given = std::pin::pin!(self.given.notified());
            given.as_mut().enable();
            if self.strongest() != Some(Order::Upgrade) {
                return;
            }
            given.await;
        }
    }

    /// Whether an upgrade is left to be carried out, or the instance after it has not started.
    pub(crate) fn is_moving(&self) -> bool {
        self.strongest() == Some(Order::Upgrade) || self.is_between.load(Ordering::Acquire)
    }

    /// Whether the actor is to be removed.
    pub(crate) fn is_destroy(&self) -> bool {
        self.strongest() == Some(Order::Destroy)
    }

    fn strongest(&self) -> Option<Order> {
        match self.strongest.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Order::Upgrade),
            2 => Some(Order::Sleep),
            _ => Some(Order::Destroy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn orders_escalate_and_never_weaken() {
        let orders = Orders::default();
        orders.give(Order::Destroy);
        orders.give(Order::Upgrade);
        assert_eq!(orders.stronger(None).await, Order::Destroy);
        orders.upgraded();
        assert_eq!(orders.stronger(Some(Order::Sleep)).await, Order::Destroy);
    }

    #[tokio::test]
    async fn an_upgrade_can_be_ordered_again() {
        let orders = Orders::default();
        assert!(!orders.is_moving());
        orders.give(Order::Upgrade);
        assert_eq!(orders.stronger(None).await, Order::Upgrade);
        assert!(orders.is_moving());
        orders.upgraded();
        orders.no_upgrade().await;
        assert!(orders.is_moving(), "it has not started again");
        orders.set_started();
        orders.started().await;
        assert!(!orders.is_moving());
        orders.give(Order::Upgrade);
        assert_eq!(orders.stronger(None).await, Order::Upgrade);
    }
}
