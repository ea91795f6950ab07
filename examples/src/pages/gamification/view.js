// The quest board

/** What one user is at: quests, achievements, rewards, and what the user was told. */
class View {
  static PACE = 300;
  static REWARDS = 8;
  static NEWS = 8;

  user = '';
  /** Id to `{name, progress, state}`, in the order of their coming. */
  #quests = new Map();
  #achievements = new Map();
  #rewards = [];
  #news = [];
  #points = 0;
  #done = 0;
  #isStale = true;

  constructor() {
    setInterval(() => this.#show(), View.PACE);
  }

  /** What samples of publications are about. */
  context(user) {
    const [questId, { name }] = [...this.#quests][0] ?? ['quest-1', { name: 'Write your first review' }];
    return { user, quest: { questId, name } };
  }

  channels() {
    this.#isStale = true;
  }

  event(_channel, { event, data, at }) {
    this.#isStale = true;
    const [family, what] = event.split('.');
    if (family === 'quest') this.#onQuest(what, data);
    else if (family === 'achievement') this.#onAchievement(what, data);
    else if (family === 'reward') this.#onReward(what, data);
    else if (family === 'notification') this.#onNotification(what, data, at);
  }

  #onQuest(what, { questId, name, progress }) {
    if (what === 'deleted') return this.#quests.delete(questId);
    const quest = View.#known(this.#quests, questId, name);
    quest.progress = progress ?? quest.progress;
    if (what === 'started') quest.state = 'started';
    if (what === 'progress_updated') quest.state = quest.progress < 100 ? 'started' : 'completed';
    if (what !== 'completed') return;
    if (quest.state !== 'completed') this.#done += 1;
    Object.assign(quest, { state: 'completed', progress: 100 });
  }

  #onAchievement(what, { achievementId, name, progress, points }) {
    if (what === 'deleted') return this.#achievements.delete(achievementId);
    const achievement = View.#known(this.#achievements, achievementId, name);
    achievement.points = points ?? achievement.points;
    // What is achieved stays so.
    if (achievement.state === 'completed') return;
    achievement.progress = progress ?? achievement.progress;
    if (what !== 'completed') return;
    Object.assign(achievement, { state: 'completed', progress: 100 });
    this.#points += points ?? 0;
  }

  #onReward(what, { rewardId, name, type, value }) {
    const state = { created: 'waiting', claimed: 'claimed', expired: 'expired' }[what];
    const known = this.#rewards.find(({ id }) => id === rewardId);
    if (known) known.state = state;
    else this.#rewards.unshift({ id: rewardId, name, worth: worth({ type, value }), state });
    this.#rewards.length = Math.min(this.#rewards.length, 50);
  }

  #onNotification(what, { notificationId, title, message }, at) {
    const known = this.#news.find(({ id }) => id === notificationId);
    if (what === 'archived') {
      this.#news = this.#news.filter((each) => each !== known);
    } else if (known) {
      known.isRead ||= what === 'read';
    } else {
      this.#news.unshift({ id: notificationId, title, message, at, isRead: what === 'read' });
      this.#news.length = Math.min(this.#news.length, 50);
    }
  }

  static #known(map, id, name) {
    if (!map.has(id)) map.set(id, { name: name ?? id, progress: null, state: 'new', points: null });
    const known = map.get(id);
    known.name = name ?? known.name;
    return known;
  }

  #show() {
    if (!this.#isStale) return;
    this.#isStale = false;
    setText($('player'), `user ${this.user}`);
    setText($('points'), number.format(this.#points));
    setText($('quests-done'), number.format(this.#done));
    setText($('rewards-waiting'), number.format(this.#rewards.filter(({ state }) => state === 'waiting').length));
    const states = { new: ['new', 'wait'], started: ['under way', ''], completed: ['completed', 'good'] };
    const sorted = (map) => [...map].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })).map(([, each]) => each);
    fillList($('quests'), sorted(this.#quests).slice(0, 5).map(({ name, progress, state }) => element('li', {},
      element('span', { class: 'clip', title: name }, name), element('small', {}, progress === null ? '' : `${progress} %`), tag(...states[state]),
      element('span', { class: 'track' }, View.#track(progress, name)))), 'No quests yet');
    fillList($('achievements'), sorted(this.#achievements).slice(0, 6).map(({ name, progress, state, points }) => element('li', { class: state === 'completed' ? 'is-done' : '' },
      element('span', { class: 'clip', title: name }, name), View.#track(progress, name),
      element('b', {}, state === 'completed' ? (points === null ? 'achieved' : many(points, 'point')) : progress === null ? 'new' : `${progress} %`))), 'No achievements yet');
    fillList($('rewards'), this.#rewards.slice(0, View.REWARDS).map(({ name, worth: value, state }) => element('li', {},
      element('span', { class: 'clip', title: name }, name), element('b', {}, value), tag(state, { waiting: 'good', expired: 'bad' }[state]))), 'No rewards yet');
    const unread = this.#news.filter(({ isRead }) => !isRead).length;
    setText($('unread'), unread ? `${number.format(unread)} unread` : '');
    fillList($('news'), this.#news.slice(0, View.NEWS).map(({ title, message, at, isRead }) => element('li', { class: isRead ? 'is-read' : '' },
      element('div', { class: 'clip' }, element('b', {}, title), element('small', {}, `${timeOfDay(at)}${isRead ? ', read' : ''}`)),
      element('p', { class: 'clip', title: message }, message))), 'No notifications yet');
  }

  static #track(progress, name) {
    const track = bar((progress ?? 0) / 100);
    const told = { role: 'progressbar', 'aria-label': name, 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-valuenow': String(progress ?? 0) };
    for (const [key, value] of Object.entries(told)) track.setAttribute(key, value);
    return track;
  }
}
