// What events say

const SUMMARIES = {
  'forum.comment.created': ({ comment, thread }) => `${comment.user.name} commented on ${quoted(thread.title)}`,
  'forum.comment.updated': (d) => `Comment ${d.comment_id} was edited: ${d.edit_reason}`,
  'forum.reaction.added': (d) => `User ${d.user_id} reacted ${quoted(d.reaction_type)} to comment ${d.comment_id}, ${d.new_count} now`,
  'forum.typing.started': (d) => `${d.user.name} is typing`,
  'forum.thread.view_count_updated': (d) => d.view_count === undefined ? 'A thread was viewed'
    : `Thread ${d.thread_id ?? ''} has ${many(d.view_count, 'view')}`,
  'marketplace.stock.updated': (d) => `Product ${d.product_id} stock went from ${d.old_stock} to ${d.new_stock}${d.is_low_stock ? ', low' : ''}`,
  'marketplace.stock.low_warning': (d) => d.product_id === undefined ? 'A product is about to run out'
    : `Product ${d.product_id} is about to run out, ${d.stock ?? 'few'} left`,
  'marketplace.price.changed': (d) => `Product ${d.product_id} now costs ${d.new_price.toFixed(2)} instead of ${d.old_price.toFixed(2)}`,
  'marketplace.order.status_changed': (d) => `Order ${d.order_id} went from ${d.old_status} to ${d.new_status}`,
  'user.status.changed': (d) => `User ${d.user_id} is ${d.status}`,
  'user.status.online': (d) => d.user_id === undefined ? 'A user came online' : `User ${d.user_id} came online`,
  'user.activity.feed_updated': ({ activity }) => `User ${activity.user_id}: ${activity.type.replaceAll('_', ' ')}, ${quoted(activity.content_title)}`,
  'messaging.message.sent': ({ message }) => `${message.sender.name} wrote: ${message.content}`,
  'messaging.typing.started': (d) => `User ${d.user_id} is typing in conversation ${d.conversation_id}`,
  'notification.sent': ({ notification }) => `${notification.title}: ${notification.message}`,
  'notification.security.alert': (d) => `Security alert${d.message ? `: ${d.message}` : ''}`,
  'notification.system.announcement': (d) => `Announcement${d.message ? `: ${d.message}` : ''}`,
  'showcase.project.updated': (d) => `${d.author.name} updated project ${d.showcase_id}: ${d.content.description}`,
  'showcase.project.stats_updated': (d) => d.views === undefined ? 'A project’s figures changed'
    : `Project ${d.showcase_id} has ${many(d.views, 'view')} and ${many(d.likes ?? 0, 'like')}`,
};
