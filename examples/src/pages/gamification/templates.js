// What may be published

/** One valid envelope of each event that the page shows. */
const TEMPLATES = {
  'quest.progress_updated': ({ user, quest }) => ({ data: { ...quest, userId: user, progress: 80 } }),
  'quest.started': ({ user }) => ({ data: { questId: 'quest-3', userId: user, name: 'Finish the tutorial', progress: 0 } }),
  'quest.completed': ({ user, quest }) => ({ data: { ...quest, userId: user, progress: 100, completedAt: later(0) } }),
  'achievement.progress_updated': ({ user }) => ({ data: { achievementId: 'achievement-2', userId: user, name: 'Night owl', progress: 40 } }),
  'achievement.completed': ({ user }) => ({ data: { achievementId: 'achievement-1', userId: user, name: 'First steps', points: 50, completedAt: later(0) } }),
  'reward.created': ({ user }) => ({ data: { rewardId: `reward-${anyId()}`, userId: user, name: 'Finish the tutorial', type: 'points', value: 50 } }),
  'reward.claimed': ({ user }) => ({ data: { rewardId: `reward-${anyId()}`, userId: user, name: 'Finish the tutorial', type: 'points', value: 50 } }),
  'reward.expired': ({ user }) => ({ data: { rewardId: `reward-${anyId()}`, userId: user, name: 'Finish the tutorial', type: 'points', value: 50 } }),
  'notification.created': ({ user }) => ({ data: { notificationId: `notification-${anyId()}`, userId: user, title: 'Almost there', message: 'One more step to the next quest', type: 'progress' } }),
  'notification.read': ({ user }) => ({ data: { notificationId: `notification-${anyId()}`, userId: user, title: 'Almost there', message: 'One more step to the next quest', type: 'progress' } }),
};
/** Here clients listen. */
const FROM_CLIENTS = [];
