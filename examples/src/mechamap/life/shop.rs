//! The marketplace: what is left, what it costs, and where it is on its way.

use std::collections::VecDeque;

use serde_json::json;

use crate::demo::Scene;
use crate::mechamap::stock::{Stock, StockChange};

const PRODUCTS: usize = 5;
/// What the shelf has room for.
const FULL: u64 = 20;
const LOW: u64 = 5;
/// In cents.
const PRICES: [u64; PRODUCTS] = [9_999, 4_950, 1_290, 24_900, 7_495];
const STATUSES: [&str; 4] = ["pending", "processing", "shipped", "delivered"];
const BUYERS: u64 = 6;
/// How many orders are open at most.
const OPEN: usize = 12;

/// All that is for sale.
#[derive(Debug)]
pub(super) struct Shop {
    products: [Product; PRODUCTS],
    open: VecDeque<Order>,
    orders: u64,
}

#[derive(Debug)]
struct Product {
    /// From 1 on.
    id: u64,
    stock: Stock,
    /// What is taken off the price while a sale is on, in percent.
    discount: u64,
}

#[derive(Debug)]
struct Order {
    id: u64,
    buyer: u64,
    /// A place in [`STATUSES`].
    status: usize,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            products: std::array::from_fn(|at| Product {
                id: at as u64 + 1,
                stock: Stock::new(FULL - 3 * at as u64, LOW),
                discount: 0,
            }),
            open: VecDeque::new(),
            orders: 700,
        }
    }
}

impl Shop {
    pub(super) fn turn(&mut self, scene: &mut Scene) {
        let at = scene.place(PRODUCTS);
        match scene.number(0..13) {
            0..9 => self.products[at].trade(scene),
            9 | 10 => self.products[at].price(scene),
            _ => self.ship(scene),
        }
    }

    /// An order is new, or further on its way than before.
    fn ship(&mut self, scene: &mut Scene) {
        if self.open.len() < OPEN / 2 || (self.open.len() < OPEN && scene.chance(30)) {
            self.orders += 1;
            self.open.push_back(Order {
                id: self.orders,
                buyer: scene.number(1..BUYERS + 1),
                status: 0,
            });
        }
        let at = scene.place(self.open.len());
        let order = &mut self.open[at];
        let old = STATUSES[order.status];
        order.status += 1;
        let tracking_number = format!("MM{:06}", order.id);
        // Days as of now, and the day alone of the time.
        let delivery = scene.at(86_400 * (4 - order.status as i64));
        let day = delivery.split('T').next().unwrap_or_default();
        scene.tell(json!({
            "event": "marketplace.order.status_changed", "channel": format!("user.{}.orders", order.buyer),
            "data": {
                "order_id": order.id, "old_status": old, "new_status": STATUSES[order.status],
                "tracking_number": tracking_number, "estimated_delivery": day
            }
        }));
        if order.status + 1 == STATUSES.len() {
            self.open.remove(at);
        }
    }
}

impl Product {
    /// Some pieces are sold; when there are few, a delivery comes before long.
    fn trade(&mut self, scene: &mut Scene) {
        let left = self.stock.left();
        if left == 0 || (self.stock.is_low() && scene.chance(25)) {
            let pieces = scene.number(FULL / 2..FULL + 1 - left);
            let change = self.stock.refill(pieces);
            return self.tell_stock(change, scene);
        }
        let pieces = scene.number(1..4).min(left);
        if let Some(change) = self.stock.sell(pieces) {
            self.tell_stock(change, scene);
        }
    }

    fn tell_stock(&self, change: StockChange, scene: &mut Scene) {
        scene.tell(json!({"event": "marketplace.stock.updated", "data": {
            "product_id": self.id, "old_stock": change.old, "new_stock": change.new,
            "is_low_stock": change.is_low(), "low_stock_threshold": change.threshold
        }}));
        if change.falls_low() {
            scene.tell(json!({
                "event": "marketplace.stock.low_warning", "channel": "marketplace.global",
                "data": {"product_id": self.id, "stock": change.new}
            }));
        }
    }

    /// A sale begins, or the one that is on ends.
    fn price(&mut self, scene: &mut Scene) {
        let old = self.cents();
        self.discount = match self.discount {
            0 => scene.pick(&[10, 15, 20, 25]),
            _ => 0,
        };
        let ends = scene.at(if self.discount == 0 { 0 } else { 86_400 });
        scene.tell(json!({"event": "marketplace.price.changed", "data": {
            "product_id": self.id, "old_price": old as f64 / 100.0, "new_price": self.cents() as f64 / 100.0,
            "discount_percentage": self.discount, "sale_ends_at": ends
        }}));
    }

    fn cents(&self) -> u64 {
        PRICES[self.id as usize - 1] * (100 - self.discount) / 100
    }
}
