// The events of MechaMap, generated from the types that check them. Do not edit.

export interface Activity {
  content_id: number;
  content_title: string;
  created_at: string;
  type: string;
  user_id: number;
}

/** A user did something. The follower is the channel's. */
export interface ActivityFeedUpdated {
  activity: Activity;
}

/** Data of which nothing is known but that it is an object. */
export type AnyObject = Record<string, unknown>;

export interface Author {
  avatar_url: string;
  id: number;
  name: string;
  username: string;
}

export interface Comment {
  content: string;
  created_at: string;
  id: number;
  /** The comment that this one answers. */
  parent_id: number | null;
  user: Author;
}

/** Someone commented on a thread. */
export interface CommentCreated {
  comment: Comment;
  thread: Thread;
}

/** Someone changed a comment. The thread is the channel's. */
export interface CommentUpdated {
  comment_id: number;
  content: string;
  edit_reason: string;
  edited_at: string;
}

export interface Content {
  description: string;
  image_url: string;
}

/** A product is about to run out. The platform's document gives no payload. */
export type LowStockWarning = AnyObject;

export interface Message {
  content: string;
  conversation_id: number;
  created_at: string;
  id: number;
  sender: Sender;
}

/** Someone wrote to someone. The recipient is the channel's. */
export interface MessageSent {
  message: Message;
}

/** Someone is writing in a conversation. */
export interface MessagingTypingStarted {
  conversation_id: number;
  expires_at: string;
  user_id: number;
}

/** What an envelope may say of where it comes from. */
export interface Metadata {
  request_id?: string | null;
  source?: string | null;
  version?: string | null;
}

export interface Notification {
  action_url: string;
  created_at: string;
  icon: string;
  id: number;
  message: string;
  title: string;
  type: string;
}

/** A user is notified. The envelope's `user_id` says who. */
export interface NotificationSent {
  notification: Notification;
  unread_count: number;
}

/** An order moved on. The buyer is the channel's. */
export interface OrderStatusChanged {
  estimated_delivery: string;
  new_status: string;
  old_status: string;
  order_id: number;
  tracking_number: string;
}

/** A user as events name one. */
export interface Person {
  id: number;
  name: string;
}

/** A product's price changed. */
export interface PriceChanged {
  discount_percentage: number;
  new_price: number;
  old_price: number;
  product_id: number;
  sale_ends_at: string;
}

/** A project was looked at or liked. The platform's document gives no payload. */
export type ProjectStatsUpdated = AnyObject;

/** A project has something new. */
export interface ProjectUpdated {
  author: Person;
  content: Content;
  showcase_id: number;
  update_type: string;
}

/** Someone reacted to a comment. The thread is the channel's. */
export interface ReactionAdded {
  comment_id: number;
  new_count: number;
  reaction_type: string;
  user_id: number;
}

/** Something threatens an account. The platform's document gives no payload. */
export type SecurityAlert = AnyObject;

export interface Sender {
  avatar_url: string;
  id: number;
  name: string;
}

/** A user came or went. The follower is the channel's. */
export interface StatusChanged {
  activity: string;
  last_seen_at: string;
  status: string;
  user_id: number;
}

/** A product's stock changed. */
export interface StockUpdated {
  is_low_stock: boolean;
  low_stock_threshold: number;
  new_stock: number;
  old_stock: number;
  product_id: number;
}

/** The platform has something to say. The platform's document gives no payload. */
export type SystemAnnouncement = AnyObject;

export interface Thread {
  id: number;
  reply_count: number;
  title: string;
}

/** Someone is writing a comment. The thread is the channel's. */
export interface TypingStarted {
  expires_at: string;
  user: Person;
}

/** A thread was looked at. The platform's document gives no payload. */
export type ViewCountUpdated = Record<string, unknown>;

/** A user came. The platform's document gives no payload. */
export type WentOnline = AnyObject;

export type Priority = "high" | "medium" | "low";

export type Channel =
  | `admin.notifications`
  | `conversation.${string}`
  | `following.${string}`
  | `forum.${string}`
  | `marketplace.global`
  | `moderator.reports`
  | `product.${string}`
  | `seller.${string}`
  | `showcase.${string}`
  | `thread.${string}`
  | `user.${string}.following`
  | `user.${string}.messages`
  | `user.${string}.orders`
  | `user.${string}`;

export interface Events {
  "forum.comment.created": CommentCreated;
  "forum.comment.updated": CommentUpdated;
  "forum.reaction.added": ReactionAdded;
  "forum.thread.view_count_updated": ViewCountUpdated;
  "forum.typing.started": TypingStarted;
  "marketplace.order.status_changed": OrderStatusChanged;
  "marketplace.price.changed": PriceChanged;
  "marketplace.stock.low_warning": LowStockWarning;
  "marketplace.stock.updated": StockUpdated;
  "messaging.message.sent": MessageSent;
  "messaging.typing.started": MessagingTypingStarted;
  "notification.security.alert": SecurityAlert;
  "notification.sent": NotificationSent;
  "notification.system.announcement": SystemAnnouncement;
  "showcase.project.stats_updated": ProjectStatsUpdated;
  "showcase.project.updated": ProjectUpdated;
  "user.activity.feed_updated": ActivityFeedUpdated;
  "user.status.changed": StatusChanged;
  "user.status.online": WentOnline;
}

export interface Envelope<N extends keyof Events = keyof Events> {
  event: N;
  data: Events[N];
  channel: string;
  priority: "high" | "medium" | "low";
  user_id?: number;
  timestamp: string;
  metadata: Metadata;
}

/** Whatever arrives; its event's name tells which it is. */
export type AnyEnvelope =
  | { [N in keyof Events]: Envelope<N> }[keyof Events];

/** What clients may publish. */
export interface ClientEvents {
  "forum.typing.started": TypingStarted;
  "messaging.typing.started": MessagingTypingStarted;
}

export interface Publication<N extends keyof ClientEvents = keyof ClientEvents> {
  event: N;
  channel?: string;
  data: ClientEvents[N];
}
