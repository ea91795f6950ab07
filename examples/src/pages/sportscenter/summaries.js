// What events say

/** The end of an id, which tells it from its like. */
const brief = (id) => `…${String(id).slice(-4)}`;
const inWords = (name) => name.replaceAll('-', ' ');

/** What stands at the top of the data, as far as it can be read at a glance. */
function glance(data) {
  const isPlain = ([key, value]) => ['string', 'number', 'boolean'].includes(typeof value) && !/id$|timestamp/i.test(key);
  return Object.entries(data).filter(isPlain).slice(0, 3).map(([key, value]) => `${inWords(key)} ${typeof value === 'number' ? number.format(value) : value}`).join(', ');
}

const SUMMARIES = {
  'session:status': (d) => `Session ${brief(d.sessionId)} ${d.type}${d.metadata?.location ? `, ${d.metadata.location}` : ''}`,
  'session:feedback': (d) => `The ${d.from.role} on ${d.type}: ${d.content}`,
  'metric:recorded': (d) => `Athlete ${brief(d.athleteId)}: ${inWords(d.type)} ${+d.value.toFixed(1)} ${d.unit}`,
  'goal:update': (d) => `Goal ${brief(d.goalId)} of athlete ${brief(d.athleteId)}: ${d.type === 'achieved' ? 'achieved' : `${d.progress} %`}`,
  'message:new': (d) => `The ${d.from.role} wrote: ${d.content}`,
  'message:updated': (d) => `The ${d.from.role} changed a message: ${d.content}`,
  'message:deleted': (d) => `The ${d.from.role} deleted a message`,
  'notification:new': (d) => `${d.title}: ${d.message}`,
  'video:status': (d) => `Video ${brief(d.videoId)} ${d.status}, ${d.progress} %`,
  'video:analysis': (d) => `Video ${brief(d.videoId)}: ${d.analysis.techniques.map((found) => `${found.type}, ${found.feedback}`).join('; ')}`,
  'community:activity': (d) => `A ${d.type} by the ${d.user.role} ${brief(d.user.id)}`,
  'mentor-session/status-changed': (d) => `Mentor session ${brief(d['session-id'])} is ${inWords(d.status)}`,
  'mentor-session/note-added': (d) => `A note on ${d.note.category}: ${d.note.content}`,
  'mentor-session/feedback-submitted': (d) => `The ${d['feedback-type']} gave ${d.feedback.rating} of 5: ${d.feedback.comments}`,
  'mentor-assessment/status-changed': (d) => `Assessment ${brief(d['assessment-id'])} is ${d.status}`,
  'mentor-assessment/metric-updated': (d) => `Assessment: ${inWords(d.metric.name)} ${d.metric.value}, benchmark ${d.metric.benchmark}`,
  'mentor-assessment/plan-updated': (d) => `A new plan: ${d.plan.goals.join(', ')}`,
  'mentor/availability-changed': (d) => `Mentor ${brief(d['mentor-id'])} has other hours`,
  'mentor/session-booked': (d) => `Mentor ${brief(d['mentor-id'])} was booked`,
};

/** Of what else comes to users there is much, and little of it for coaches. */
for (const [family, names] of Object.entries({
  analytics: ['performance-metric', 'trend-update', 'milestone-achieved', 'session-engagement', 'platform-usage', 'content-engagement', 'community-engagement', 'collaboration-metrics', 'subscription-metric', 'feature-usage', 'error-event'],
  ratelimit: ['connection-limit', 'message-quota', 'burst-control', 'bandwidth-limit', 'concurrent-ops', 'limit-warning', 'violation', 'adaptive-limit', 'fair-usage', 'tier-limits', 'group-share', 'connection-throttle'],
})) {
  for (const name of names) SUMMARIES[`${family}/${name}`] = (d) => `${inWords(name)[0].toUpperCase()}${inWords(name).slice(1)}${glance(d) && `: ${glance(d)}`}`;
}
