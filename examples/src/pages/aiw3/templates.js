// What may be published

const BENEFITS = { tradingFeeDiscount: 0.2, aiAgentUses: 40, exclusiveAccess: ['premium_signals', 'vip_chat'], stakingBonus: 0.1, prioritySupport: true };

/** One valid envelope of each of these events; times, ids and priorities are filled in by the server. */
const TEMPLATES = {
  chat_message: ({ user }) => ({ userId: user, channel: 'room.lobby', data: { from: 'MoonWhale', text: 'gm' } }),
  badge_activated: ({ user }) => ({ userId: user, data: {
    badgeId: 'badge_night_owl_4', badgeName: 'Night Owl IV', activatedAt: later(0), contributionValue: 2.5, previousTotalContribution: 40, newTotalContribution: 42.5, contributionChange: 2.5,
    affectedNftLevels: [{ nftLevel: 4, nftName: 'Diamond Chicken', oldProgress: 40, newProgress: 42.5, progressChange: 2.5, requirementsMet: false }], totalActiveBadges: 4, maxActiveBadges: 50,
  } }),
  nft_benefits_activated: ({ user }) => ({ userId: user, data: {
    nftId: `nft_tier_4_${user}_004`, nftLevel: 4, nftName: 'Diamond Chicken', activatedBenefits: BENEFITS,
    previousActiveNft: { nftId: `nft_tier_3_${user}_003`, nftLevel: 3, deactivatedAt: later(0) }, activatedAt: later(0), benefitsExpiryDate: null,
  } }),
  nft_upgrade_available: ({ user }) => ({ userId: user, data: { nftId: `nft_tier_3_${user}_003`, targetLevel: 4, requirements: { tradingVolume: 1_500_000, badges: 5 } } }),
  trading_milestone_reached: ({ user }) => ({ userId: user, data: { milestone: 500_000, currentVolume: 500_120.5, nextMilestone: 1_000_000 } }),
  maintenance_started: ({ user }) => ({ userId: user, data: { maintenanceId: 'maint_001' } }),
  maintenance_completed: ({ user }) => ({ userId: user, data: { maintenanceId: 'maint_001' } }),
};
const FROM_CLIENTS = ['chat_message'];
