//! The marketplace: stock, prices, orders.

use fanfare::Priority;
use fanfare::catalog::{Date, EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AnyObject;

/// A product's stock changed.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct StockUpdated {
    #[garde(range(min = 1))]
    pub product_id: u64,
    #[garde(skip)]
    pub old_stock: u64,
    #[garde(skip)]
    pub new_stock: u64,
    #[garde(skip)]
    pub is_low_stock: bool,
    #[garde(skip)]
    pub low_stock_threshold: u64,
}

impl TypedEvent for StockUpdated {
    const NAME: &'static str = "marketplace.stock.updated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["product.{product_id}"];

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.product_id.to_string())
    }
}

/// A product is about to run out. The platform's document gives no payload.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
pub struct LowStockWarning(#[garde(dive)] pub AnyObject);

impl TypedEvent for LowStockWarning {
    const NAME: &'static str = "marketplace.stock.low_warning";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &[];
}

/// An order moved on. The buyer is the channel's.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct OrderStatusChanged {
    #[garde(range(min = 1))]
    pub order_id: u64,
    #[garde(skip)]
    pub old_status: String,
    #[garde(skip)]
    pub new_status: String,
    #[garde(skip)]
    pub tracking_number: String,
    #[garde(skip)]
    pub estimated_delivery: Date,
}

impl TypedEvent for OrderStatusChanged {
    const NAME: &'static str = "marketplace.order.status_changed";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &["user.{buyer_id}", "user.{buyer_id}.orders"];
}

/// A product's price changed.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct PriceChanged {
    #[garde(range(min = 1))]
    pub product_id: u64,
    #[garde(range(min = 0.0))]
    pub old_price: f64,
    #[garde(range(min = 0.0))]
    pub new_price: f64,
    #[garde(skip)]
    pub discount_percentage: f64,
    #[garde(skip)]
    pub sale_ends_at: Timestamp,
}

impl TypedEvent for PriceChanged {
    const NAME: &'static str = "marketplace.price.changed";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["product.{product_id}"];

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.product_id.to_string())
    }
}
