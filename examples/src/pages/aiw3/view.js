// The portfolio

/** What one trader has and is after: NFTs, badges, a place in the competition; and what the trader was told. */
class View {
  static PACE = 400;
  static TIERS = ['Tech Chicken', 'Crypto Chicken', 'Golden Chicken', 'Diamond Chicken', 'Quantum Chicken'];
  static BADGES = 5;
  /** Event to the notice's tone. */
  static NOTICES = {
    maintenance_scheduled: 'wait', maintenance_started: 'wait', maintenance_completed: '', feature_announcement: '', security_alert: 'bad',
    service_degradation: 'wait', transaction_failed: 'bad', competition_started: '', competition_ended: '', competition_nft_awarded: '',
    nft_upgrade_available: '', trading_milestone_reached: '', rank_changed: '',
  };

  user = '';
  /** Tier to its name. */
  #owned = new Map();
  #active = null;
  #next = null;
  #badges = new Map();
  #board = null;
  #competition = '';
  /** User to the place last seen, and by how much it changed. */
  #places = new Map();
  #notices = [];
  #isStale = true;
  #moves = !matchMedia('(prefers-reduced-motion: reduce)').matches;

  constructor() {
    setInterval(() => this.#show(), View.PACE);
  }

  /** What samples of publications are about. */
  context(user) {
    return { user: Number(user) || 1 };
  }

  channels() {
    this.#isStale = true;
  }

  event(channel, { event, data, at, envelope }) {
    if (!channel.startsWith('user.')) return;
    this.#isStale = true;
    if (event in View.NOTICES) this.#tell(event, envelope, at);
    if (event.startsWith('badge_')) return this.#onBadge(event, data, at);
    switch (event) {
      case 'nft_unlocked':
        this.#own(data.nftLevel ?? data.tierId, data.nftName ?? data.tierName, data.nftLevel ? data.benefits : null);
        break;
      case 'nft_upgrade_completed':
        this.#burn(data.oldNftLevel);
        this.#own(data.newNftLevel, data.newNftName, data.newBenefits);
        break;
      case 'nft_upgraded':
        for (const id of data.consumedBadges) this.#use(id);
        break;
      case 'nft_benefits_activated':
        this.#own(data.nftLevel, data.nftName);
        this.#active = { level: data.nftLevel, name: data.nftName, benefits: data.activatedBenefits, isActive: true };
        break;
      case 'nft_progress_update':
        this.#onProgress(data);
        break;
      case 'leaderboard_update':
        this.#onBoard(data);
        break;
      case 'competition_started':
      case 'rank_changed':
        this.#competition = data.competitionName ?? this.#competition;
    }
  }

  #own(level, name, benefits = null) {
    this.#owned.set(level, name);
    // The best one is shown until the platform says which one's benefits are active.
    if (this.#active?.isActive || level < (this.#active?.level ?? 0)) return;
    const known = this.#active?.level === level ? this.#active.benefits : null;
    this.#active = { level, name, benefits: benefits ?? known, isActive: false };
  }

  #burn(level) {
    this.#owned.delete(level);
    if (this.#active?.level === level) this.#active = null;
  }

  /** What is ahead says what is in hand: the tier before it, and nothing above. */
  #onProgress(next) {
    const level = next.nftLevel - 1;
    if (level < (this.#active?.level ?? 0)) {
      // A new season.
      this.#owned.clear();
      this.#badges.clear();
      this.#active = null;
    }
    if (level > 0 && !this.#owned.has(level)) this.#own(level, View.TIERS[level - 1] ?? `Tier ${level}`);
    this.#next = next;
  }

  /** What an NFT used up counts for no other. */
  #use(id) {
    const badge = this.#badges.get(id);
    if (badge) badge.state = 'used';
  }

  #onBadge(event, { badgeId, badgeName, rarity, overallProgress }, at) {
    const badge = this.#badges.get(badgeId) ?? { rarity: '', progress: 0, state: '' };
    this.#badges.set(badgeId, badge);
    Object.assign(badge, { name: badgeName, rarity: rarity ?? badge.rarity, at });
    if (event === 'badge_progress_update') Object.assign(badge, { progress: overallProgress, state: '' });
    else if (event === 'badge_earned') badge.state ||= 'earned';
    else if (event === 'badge_activated') badge.state = 'active';
  }

  #onBoard({ userRank, topRanks, nearbyRanks, competitionStats }) {
    const own = { ...userRank, userId: this.user, nickname: 'You', isOwn: true };
    const seen = new Set();
    const rows = [...topRanks, ...nearbyRanks, own].sort((a, b) => a.rank - b.rank || Number(!b.isOwn) - Number(!a.isOwn))
      .filter(({ rank }) => !seen.has(rank) && seen.add(rank));
    for (const { userId, rank } of rows) {
      const last = this.#places.get(String(userId));
      this.#places.set(String(userId), { rank, by: last && last.rank !== rank ? last.rank - rank : last?.by ?? 0 });
    }
    this.#board = { rows, timeLeft: competitionStats.timeRemaining, participants: competitionStats.totalParticipants };
  }

  #tell(event, envelope, at) {
    const text = summary(envelope);
    const [title, ...rest] = text.split(': ');
    this.#notices.unshift({ tone: View.NOTICES[event], title, text: rest.join(': '), at });
    this.#notices.length = Math.min(this.#notices.length, 6);
  }

  #show() {
    if (!this.#isStale) return;
    this.#isStale = false;
    setText($('holder'), `user ${this.user}`);
    this.#showNft();
    this.#showNext();
    const badges = [...this.#badges].sort(([, a], [, b]) => b.at - a.at).slice(0, View.BADGES).sort(([a], [b]) => (a < b ? -1 : 1));
    fillList($('badges'), badges.map(([, { name, rarity, progress, state }]) => element('li', state === 'used' ? { class: 'is-used' } : {},
      element('span', { class: 'clip', title: name }, name), rarity ? tag(rarity) : element('span'), bar(state ? 1 : progress / 100),
      element('b', {}, state || percent(progress)))), 'No badges yet');
    this.#showBoard();
    fillList($('notices'), this.#notices.map(({ tone, title, text, at }) => element('li', { 'data-tone': tone },
      element('div', { class: 'clip' }, element('b', {}, title), element('small', {}, timeOfDay(at))),
      ...(text ? [element('p', { class: 'clip', title: text }, text)] : []))), 'No notices yet');
  }

  #showNft() {
    const nft = this.#active;
    setText($('nft-tier'), nft ? String(nft.level) : '–');
    setText($('nft-name'), nft ? nft.name : 'Waiting for an NFT');
    setText($('nft-state'), nft ? `Tier ${nft.level} of ${View.TIERS.length}, ${nft.isActive ? 'benefits active' : 'the best one owned'}` : 'It appears with the first event about one');
    const { tradingFeeDiscount: fee, aiAgentUses: uses, stakingBonus: staking, prioritySupport: priority, exclusiveAccess: access = [] } = nft?.benefits ?? {};
    const told = [
      fee !== undefined && `${percent(fee * 100)} off fees`, uses !== undefined && `${many(uses, 'AI use')}`,
      staking !== undefined && `${percent(staking * 100)} staking`, priority && 'priority support', access.length > 0 && `${access.length} × exclusive access`,
    ];
    $('benefits').replaceChildren(...told.filter(Boolean).map((text) => element('li', { class: 'tag' }, text)));
    $('tiers').replaceChildren(...View.TIERS.map((name, at) => {
      const level = at + 1;
      const owned = this.#owned.get(level);
      const state = nft?.level === level && nft.isActive ? 'active' : owned ? 'owned' : level < (nft?.level ?? 0) ? 'burned' : 'locked';
      return element('li', { class: state === 'active' ? 'is-owned is-active' : owned ? 'is-owned' : '', title: `${owned ?? name}, ${state}` }, element('b', {}, String(level)), element('span', { class: 'clip' }, state));
    }));
  }

  #showNext() {
    const level = (this.#active?.level ?? 0) + 1;
    const isHighest = level > View.TIERS.length;
    // What was said of the way to a tier that was reached since is over.
    const next = this.#next?.nftLevel >= level ? this.#next : null;
    const share = isHighest ? 100 : next?.overallProgress ?? 0;
    setText($('next-name'), isHighest ? 'The highest tier is reached' : next ? `To ${next.nftName}, tier ${next.nftLevel}` : `To ${View.TIERS[level - 1]}, tier ${level}`);
    setText($('next-share'), isHighest ? '' : next ? percent(share) : '–');
    $('next-bar').setAttribute('aria-valuenow', String(Math.round(share)));
    if (!$('next-bar').firstElementChild) $('next-bar').append(bar(0));
    $('next-bar').querySelector('i').style.transform = `scaleX(${Math.min(share / 100, 1)})`;
    setText($('next-needs'), isHighest ? 'Nothing is left to unlock this season'
      : next ? `Volume ${compact.format(next.tradingVolumeCurrent)} of ${compact.format(next.tradingVolumeRequired)}, badges ${next.badgesOwned} of ${next.badgesRequired}` : 'Not known yet');
  }

  #showBoard() {
    setText($('competition'), this.#competition || 'Competition');
    setText($('time-left'), this.#board ? `${this.#board.timeLeft.split(',')[0]} left` : '');
    const list = $('ranks');
    const before = new Map([...list.children].map((row) => [row.dataset.user, row.offsetTop]));
    const rows = [];
    let last = 0;
    for (const { rank, userId, nickname, tradingVolume, isOwn } of this.#board?.rows ?? []) {
      if (last && rank > last + 1) rows.push(element('li', { class: 'gap', 'aria-hidden': 'true' }));
      last = rank;
      const { by } = this.#places.get(String(userId));
      const moved = by ? `${by > 0 ? '▲' : '▼'} ${Math.abs(by)}` : '';
      rows.push(element('li', { 'data-user': String(userId), class: isOwn ? 'is-own' : '' },
        element('b', {}, number.format(rank)), element('span', { class: 'clip' }, nickname), element('span', { class: 'volume' }, compact.format(tradingVolume)),
        element('span', { class: 'moved', 'data-tone': by > 0 ? 'good' : by < 0 ? 'bad' : '', 'aria-label': by ? `${by > 0 ? 'up' : 'down'} ${Math.abs(by)}` : '' }, moved)));
    }
    fillList(list, rows, 'No ranks yet');
    if (!this.#moves) return;
    for (const row of list.children) {
      const from = before.get(row.dataset.user);
      const by = from === undefined ? 0 : from - row.offsetTop;
      if (by) row.animate([{ transform: `translateY(${by}px)` }, { transform: 'none' }], { duration: 300, easing: 'ease-out' });
    }
  }
}
