// What events say

const named = ({ name, questId, achievementId }) => quoted(name ?? questId ?? achievementId);
const worth = ({ value, type }) => `${typeof value === 'number' ? number.format(value) : typeof value === 'string' ? value : value === null ? '' : JSON.stringify(value)} ${type}`.trim();

const SUMMARIES = {
  'quest.created': (d) => `New quest: ${named(d)}`,
  'quest.updated': (d) => `The quest ${named(d)} changed`,
  'quest.deleted': (d) => `The quest ${named(d)} is no more`,
  'quest.started': (d) => `Began the quest ${named(d)}`,
  'quest.progress_updated': (d) => `Quest ${named(d)} is ${d.progress} % done`,
  'quest.completed': (d) => `Completed the quest ${named(d)}`,
  'achievement.created': (d) => `New achievement: ${named(d)}`,
  'achievement.updated': (d) => `The achievement ${named(d)} changed`,
  'achievement.deleted': (d) => `The achievement ${named(d)} is no more`,
  'achievement.progress_updated': (d) => `Achievement ${named(d)} is ${d.progress} % done`,
  'achievement.completed': (d) => `Achieved ${named(d)}${d.points === undefined ? '' : `, ${many(d.points, 'point')}`}`,
  'reward.created': (d) => `A reward for ${quoted(d.name)}: ${worth(d)}`,
  'reward.claimed': (d) => `Claimed ${worth(d)} for ${quoted(d.name)}`,
  'reward.expired': (d) => `The reward for ${quoted(d.name)} expired`,
  'notification.created': (d) => `${d.title}: ${d.message}`,
  'notification.read': (d) => `Read: ${d.title}`,
  'notification.archived': (d) => `Archived: ${d.title}`,
};
