// What may be published

/** One valid envelope of each event that the page shows. */
const TEMPLATES = {
  'session:feedback': ({ user, session }) => ({ data: { sessionId: session, timestamp: later(0), feedbackId: crypto.randomUUID(), type: 'technique', content: 'Keep your elbow high', from: { id: user, role: 'coach' } } }),
  'session:status': ({ user, session, athlete }) => ({ data: { sessionId: session, timestamp: later(0), type: 'resumed', metadata: { coachId: user, athleteId: athlete, location: 'Track 2' } } }),
  'metric:recorded': ({ athlete }) => ({ data: { athleteId: athlete, timestamp: later(0), type: 'heart-rate', value: 171, unit: 'bpm', source: 'manual' } }),
  'goal:update': ({ athlete }) => ({ data: { athleteId: athlete, goalId: crypto.randomUUID(), timestamp: later(0), type: 'progress', progress: 75 } }),
  'message:new': ({ user, athlete }) => ({ data: { messageId: crypto.randomUUID(), timestamp: later(0), from: { id: athlete, role: 'athlete' }, to: { id: user, role: 'coach' }, content: 'See you at the track at six', type: 'text' } }),
  'notification:new': () => ({ data: { id: crypto.randomUUID(), timestamp: later(0), type: 'info', title: 'Training moved', message: 'Tonight starts half an hour later', action: { type: 'open', payload: { path: '/calendar' } } } }),
  'mentor-session/note-added': ({ session }) => ({ data: { 'session-id': session, note: { content: 'Breathing settled after the second set', category: 'mindset', timestamp: later(0) } } }),
};
/** Here clients listen. */
const FROM_CLIENTS = [];
