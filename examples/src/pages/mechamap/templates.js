// What may be published

/** One valid envelope of each event, for the user and thread at hand. */
const TEMPLATES = {
  'forum.typing.started': ({ user, thread }) => ({ channel: thread.channel, data: { user: { id: user, name: 'John Doe' }, expires_at: later(10) } }),
  'messaging.typing.started': ({ user }) => ({ channel: 'conversation.1', data: { user_id: user, conversation_id: 1, expires_at: later(10) } }),
  'forum.comment.created': ({ user, thread }) => ({ data: {
    comment: { id: anyId(), content: 'Great explanation!', parent_id: null, user: { id: user, name: 'John Doe', username: 'johndoe', avatar_url: 'https://mechamap.example/avatars/4.png' }, created_at: later(0) },
    thread: { id: thread.id, title: thread.title, reply_count: thread.replies },
  } }),
  'forum.comment.updated': ({ thread }) => ({ channel: thread.channel, data: { comment_id: thread.comment, content: 'Updated content here', edited_at: later(0), edit_reason: 'Fixed typo' } }),
  'forum.reaction.added': ({ user, thread }) => ({ channel: thread.channel, data: { comment_id: thread.comment, reaction_type: 'like', user_id: user, new_count: 1 } }),
  'forum.thread.view_count_updated': ({ thread }) => ({ channel: thread.channel, data: { thread_id: thread.id, view_count: thread.views } }),
  'notification.sent': ({ user }) => ({ user_id: user, data: {
    notification: { id: anyId(), type: 'order_shipped', title: 'Your order has been shipped', message: 'Order #12345 is on its way', icon: 'truck', action_url: '/orders/12345', created_at: later(0) },
    unread_count: 5,
  } }),
  'notification.security.alert': ({ user }) => ({ channel: `user.${user}`, data: { message: 'New sign-in from Hanoi' } }),
  'notification.system.announcement': () => ({ channel: 'marketplace.global', data: { message: 'Maintenance on Sunday at 02:00' } }),
  'marketplace.stock.updated': () => ({ data: { product_id: 1, old_stock: 10, new_stock: 5, is_low_stock: true, low_stock_threshold: 5 } }),
  'marketplace.stock.low_warning': () => ({ channel: 'marketplace.global', data: { product_id: 1, stock: 2 } }),
  'marketplace.price.changed': () => ({ data: { product_id: 1, old_price: 99.99, new_price: 79.99, discount_percentage: 20, sale_ends_at: later(604_800) } }),
  'marketplace.order.status_changed': ({ user }) => ({ channel: `user.${user}`, data: { order_id: 789, old_status: 'processing', new_status: 'shipped', tracking_number: 'ABC123456', estimated_delivery: later(259_200).slice(0, 10) } }),
  'messaging.message.sent': ({ user }) => ({ channel: `user.${user}`, data: { message: { id: anyId(), conversation_id: 456, content: 'Hello there!', sender: { id: 2, name: 'Minh Nguyen', avatar_url: 'https://mechamap.example/avatars/2.png' }, created_at: later(0) } } }),
  'user.status.changed': ({ user }) => ({ channel: `following.${user}`, data: { user_id: 2, status: 'online', last_seen_at: later(0), activity: 'viewing_thread' } }),
  'user.status.online': ({ user }) => ({ channel: `following.${user}`, data: { user_id: 2 } }),
  'user.activity.feed_updated': ({ user, thread }) => ({ channel: `following.${user}`, data: { activity: { type: 'thread_created', user_id: 2, content_id: thread.id, content_title: 'New SolidWorks Tutorial', created_at: later(0) } } }),
  'showcase.project.updated': ({ user }) => ({ data: { showcase_id: 1, update_type: 'new_image', content: { image_url: 'https://mechamap.example/p/1.jpg', description: 'Latest progress photo' }, author: { id: user, name: 'John Doe' } } }),
  'showcase.project.stats_updated': () => ({ channel: 'showcase.1', data: { showcase_id: 1, views: 1200, likes: 87 } }),
};
const FROM_CLIENTS = ['forum.typing.started', 'messaging.typing.started'];
