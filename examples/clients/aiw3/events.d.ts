// The events of AIW3, generated from the types that check them. Do not edit.

/** Whose account it is. */
export interface AffectedAccount {
  email: string;
  lastKnownLocation: string;
  suspiciousLocation: string;
  userId: number;
}

/** A level that a badge brings closer. */
export interface AffectedLevel {
  newProgress: number;
  nftLevel: number;
  nftName: string;
  oldProgress: number;
  progressChange: number;
  requirementsMet: boolean;
}

/** How one service does. */
export interface AffectedService {
  /** In percent. */
  availability: number;
  impact: string;
  serviceName: string;
  status: string;
}

/** An avatar that a user may take. */
export interface AvailableAvatar {
  nftId: Id;
  nftLevel: number;
  nftName: string;
}

/** A picture that stands for a user. */
export interface Avatar {
  avatarUrl: string;
  nftId: Id;
  nftLevel: number;
  nftName: string;
  type: string;
}

/** A user took another avatar. */
export interface AvatarChanged {
  changeReason: string;
  changedAt: string;
  isAutomatic: boolean;
  newAvatar: Avatar;
  previousAvatar: Avatar;
}

/** The NFT that was won. */
export interface AwardedNft {
  benefits: Benefits;
  description: string;
  estimatedValue: number;
  imageUrl: string;
  mintAddress: string;
  name: string;
  nftId: Id;
  rarity: string;
  tokenId: string;
}

/** A badge counts from now on. */
export interface BadgeActivated {
  activatedAt: string;
  affectedNftLevels: Array<AffectedLevel>;
  badgeId: Id;
  badgeName: string;
  contributionChange: number;
  contributionValue: number;
  maxActiveBadges: number;
  newTotalContribution: number;
  previousTotalContribution: number;
  totalActiveBadges: number;
}

/** What became of a user's badges. */
export interface BadgeChanges {
  activated: Array<string>;
  consumed: Array<string>;
  earned: Array<string>;
}

/** A user did what a badge takes. */
export interface BadgeEarned {
  badgeDescription: string;
  badgeId: Id;
  badgeName: string;
  category: string;
  contributionValue: number;
  contributionWeight: number;
  earnedAt: string;
  iconUrl: string;
  nextBadgeInSeries: NextBadge;
  rarity: Rarity;
  requirements: Array<MetRequirement>;
  rewards: Rewards;
}

/** The next mark on the way to a badge. */
export interface BadgeMilestone {
  description: string;
  remaining: number;
  target: number;
}

/**
 * A user's way to a badge has become shorter. The last three fields are known from the client's handler
 * alone.
 */
export interface BadgeProgressUpdate {
  badgeId: Id;
  badgeName: string;
  category: string;
  completionThreshold: number;
  currentProgress?: number | null;
  estimatedCompletionTime: string;
  isCloseToCompletion: boolean;
  milestoneReached: boolean;
  nextMilestone: BadgeMilestone;
  overallProgress: number;
  progressChange: number;
  progressPercentage?: number | null;
  rarity: Rarity;
  requirements: Array<OpenRequirement>;
  targetProgress?: number | null;
}

/** What an NFT is good for. The first and the third stand in every sample. */
export interface Benefits {
  aiAgentUses?: number | null;
  exclusiveAccess: Array<string>;
  prioritySupport?: boolean | null;
  stakingBonus?: number | null;
  tradingFeeDiscount: number;
}

/** The NFT that is no more. */
export interface BurnedNft {
  burnedAt: string;
  nftId: Id;
  tierName: string;
}

/** A button. */
export interface CallToAction {
  buttonStyle: string;
  text: string;
  /** A path of the site's, or a URL. */
  url: string;
}

/**
 * A message. The one event that clients may publish, to a room; the backend's go to the user or, where the
 * envelope names one, to a room. The platform's document gives no payload.
 */
export type ChatMessage = Record<string, unknown>;

/**
 * A competition is over. The platform's document gives no payload; the fields are those that its
 * client's handler reads.
 */
export interface CompetitionEnded {
  competitionId?: string | null;
  competitionName?: string | null;
}

/** A user has won an NFT. */
export interface CompetitionNftAwarded {
  awardedAt: string;
  competitionId: string;
  competitionName: string;
  competitionStats: FinalStats;
  finalRank: number;
  finalTradingVolume: number;
  nftReward: AwardedNft;
  percentile: number;
  prizeAmount: number;
  totalParticipants: number;
  transactionHash: string;
}

/** A competition is open. */
export interface CompetitionStarted {
  competitionId: string;
  competitionName: string;
  currency: string;
  currentParticipants: number;
  description: string;
  eligibilityRequirements: Eligibility;
  endDate: string;
  participantLimit: number;
  prizeStructure: Array<Prize>;
  registrationDeadline: string;
  rules: Array<string>;
  startDate: string;
  totalPrizePool: number;
}

/**
 * The first message of an event stream, also where a client comes back (architecture document,
 * "Controller Implementation").
 */
export interface ConnectionEstablished {
  message: string;
  timestamp: string;
  type: "connection_established";
  userId: UserId;
}

/** Who feels it, and how. */
export interface CurrentImpact {
  avgResponseTimeIncrease: string;
  errorRateIncrease: string;
  percentageAffected: number;
  usersAffected: number;
}

/** The NFT whose benefits held before. */
export interface DeactivatedNft {
  deactivatedAt: string;
  nftId: Id;
  nftLevel: number;
}

/** What stands for a kind of NFT. The document does not say which of them it is. */
export type DefinitionId = number | Id;

/** What is missing to another rank. */
export interface Distance {
  percentageGap: number;
  rank: number;
  volumeGap: number;
}

/** Where to read on. */
export interface Documentation {
  faq: string;
  userGuide: string;
  videoTutorial: string;
}

/** Who may take part. */
export interface Eligibility {
  accountAgeMinimumDays: number;
  kycRequired: boolean;
  minimumTradingVolume: number;
}

/** Why a transaction failed: the guide's closed list. */
export type ErrorCode = "INSUFFICIENT_SOL_BALANCE" | "NETWORK_CONGESTION" | "INVALID_WALLET_ADDRESS" | "NFT_REQUIREMENTS_NOT_MET" | "DUPLICATE_TRANSACTION";

/** What will not work as usual. */
export interface ExpectedImpact {
  nftClaiming: string;
  notifications: string;
  portfolioViewing: string;
  trading: string;
}

/** One new thing. */
export interface Feature {
  benefits: Array<string>;
  description: string;
  name: string;
}

/** The platform can do something new. */
export interface FeatureAnnouncement {
  callToAction: CallToAction;
  description: string;
  documentation: Documentation;
  eligibility: FeatureEligibility;
  featureId: string;
  featureType: string;
  features: Array<Feature>;
  promotionalOffer: PromotionalOffer;
  releaseDate: string;
  releaseVersion: string;
  targetAudience: string;
  title: string;
}

/** Who can use it. */
export interface FeatureEligibility {
  minimumStakingPeriod: string;
  requiredNftLevel: number;
  supportedNftTypes: Array<string>;
}

/** A competition at its end. */
export interface FinalStats {
  averageVolume: number;
  duration: string;
  topVolume: number;
  totalVolume: number;
}

/**
 * A sign of life every 30 s, as the architecture document has it. On this server's event streams a
 * comment line stands for it, which keeps the connection open and which scripts never see.
 */
export interface Heartbeat {
  timestamp: string;
  type: "heartbeat";
}

/**
 * What stands for a message, an NFT or a badge: 1 to 128 characters. The guide calls them UUIDs, and its
 * own samples are none.
 */
export type Id = string;

/** What happened since. */
export interface IncidentUpdate {
  message: string;
  status: string;
  timestamp: string;
}

/** The leaderboard as a user sees it, every five minutes while a competition runs. */
export interface LeaderboardUpdate {
  competitionId: string;
  competitionStats: RunningStats;
  nearbyRanks: Array<Ranked>;
  topRanks: Array<Ranked>;
  userRank: UserRank;
  /** Known from the client's handler alone. */
  userRankChange?: number | null;
}

/** Where it came from. */
export interface Location {
  city: string;
  /** Latitude and longitude in degrees. */
  coordinates: Array<number>;
  country: string;
}

/** The platform is back. The platform's document gives no payload. */
export type MaintenanceCompleted = Record<string, unknown>;

/** The platform will be down for a while. */
export interface MaintenanceScheduled {
  advanceNoticeHours: number;
  affectedServices: Array<string>;
  contactInfo: StatusContact;
  description: string;
  estimatedDuration: string;
  expectedImpact: ExpectedImpact;
  maintenanceId: string;
  maintenanceType: string;
  preparationSteps: Array<string>;
  scheduledEndTime: string;
  scheduledStartTime: string;
  severity: string;
  timezone: string;
  title: string;
  unaffectedServices: Array<string>;
}

/** The platform is down. The platform's document gives no payload. */
export type MaintenanceStarted = Record<string, unknown>;

/** What was done for a badge. */
export interface MetRequirement {
  completed: boolean;
  current: number;
  description: string;
  target: number;
  type: string;
}

/** The one in its place. */
export interface NewNft {
  mintAddress: string;
  nftId: Id;
  tierId: number;
  tierName: string;
  transactionSignature: string;
}

/** The badge after this one. */
export interface NextBadge {
  badgeId: Id;
  badgeName: string;
  requirements: Array<Requirement>;
}

/** A user may take one avatar more. */
export interface NftAvatarUnlocked {
  availableAvatars: Array<AvailableAvatar>;
  avatarUrl: string;
  isNewHighestTier: boolean;
  nftId: Id;
  nftLevel: number;
  nftName: string;
  rarity: string;
  thumbnailUrl: string;
  totalAvatarsUnlocked: number;
  triggerEvent: string;
  unlockedAt: string;
}

/** An NFT's benefits hold from now on. */
export interface NftBenefitsActivated {
  activatedAt: string;
  activatedBenefits: Benefits;
  /** None where they hold for good. */
  benefitsExpiryDate: string | null;
  nftId: Id;
  nftLevel: number;
  nftName: string;
  previousActiveNft: DeactivatedNft;
}

/** An NFT ceased to be. The platform's document gives no payload. */
export type NftBurned = Record<string, unknown>;

/** The next mark on the way. */
export interface NftMilestone {
  remaining: number;
  target: number;
  type: string;
}

/** An NFT came into being. */
export interface NftMinted {
  gasUsed: number;
  metadataUri: string;
  mintAddress: string;
  nftId: Id;
  transactionSignature: string;
}

/** A user's way to the next NFT has become shorter, or longer. */
export interface NftProgressUpdate {
  badgeProgress: number;
  badgesOwned: number;
  badgesRequired: number;
  estimatedTimeToCompletion: string;
  milestoneReached: boolean;
  nextMilestone: NftMilestone;
  nftLevel: number;
  nftName: string;
  overallProgress: number;
  progressChange: number;
  tradingVolumeChange: number;
  tradingVolumeCurrent: number;
  tradingVolumeProgress: number;
  tradingVolumeRequired: number;
}

/** An NFT could not be claimed. */
export interface NftUnlockFailed {
  error: string;
  nftDefinitionId: DefinitionId;
}

/** A user claimed an NFT, and it has been minted. */
export interface NftUnlocked {
  benefits: Benefits;
  claimedAt: string;
  estimatedValue: number;
  imageUrl: string;
  mintAddress: string;
  nftDescription: string;
  nftId: Id;
  nftLevel: number;
  nftName: string;
  tokenId: string;
  transactionHash: string;
}

/**
 * A user has what the next level takes. The platform's document gives no payload; the fields are those
 * that its client's handler reads.
 */
export interface NftUpgradeAvailable {
  nftId?: Id | null;
  requirements?: unknown;
  targetLevel?: number | null;
}

/** An NFT was burned and a better one minted in its place. */
export interface NftUpgradeCompleted {
  burnTransactionHash: string;
  mintTransactionHash: string;
  newBenefits: Benefits;
  newImageUrl: string;
  newMintAddress: string;
  newNftId: Id;
  newNftLevel: number;
  newNftName: string;
  newTokenId: string;
  oldNftId: Id;
  oldNftLevel: number;
  oldNftName: string;
  upgradeValue: number;
  upgradedAt: string;
}

/** An NFT was burned and a better one minted in its place. */
export interface NftUpgraded {
  consumedBadges: Array<string>;
  newNft: NewNft;
  oldNft: BurnedNft;
}

/** How far a user is with what is to be done. */
export interface OpenRequirement {
  change: number;
  completed: boolean;
  current: number;
  description: string;
  previous: number;
  progressPercentage: number;
  target: number;
  type: string;
}

/** What the traders of some ranks get. */
export interface Prize {
  nftReward: PrizeNft;
  prizeAmount: number;
  /** The first and the last rank: `2-10`. */
  rankRange: string;
}

/** The NFT that goes with a prize. */
export interface PrizeNft {
  imageUrl: string;
  name: string;
  rarity: string;
}

/** What those get who come soon. */
export interface PromotionalOffer {
  description: string;
  terms: string;
  title: string;
  validUntil: string;
}

/**
 * A user's rank moved. Producers announce moves of five places and more: see
 * [`RankTracker`](super::ranks::RankTracker).
 */
export interface RankChanged {
  competitionId: string;
  competitionName: string;
  currentTradingVolume: number;
  /** `up` or `down`. */
  direction: string;
  distanceToNextRank: Distance;
  distanceToPrizeRank: Distance;
  newRank: number;
  oldRank: number;
  percentile: number;
  percentileChange: number;
  projectedFinalRank: number;
  projectedFinalVolume: number;
  rankChange: number;
  timeRemaining: string;
  volumeChange: number;
}

/** Where another one stands. */
export interface Ranked {
  nickname: string;
  rank: number;
  tradingVolume: number;
  userId: number;
  volumeChange: number;
}

/** How few have a badge. */
export type Rarity = "common" | "uncommon" | "rare" | "epic" | "legendary";

/** What the user should do. */
export interface RecommendedAction {
  action: string;
  description: string;
  priority: string;
  url: string;
}

/** What is to be done for a badge. */
export interface Requirement {
  current: number;
  description: string;
  target: number;
  type: string;
}

/** What a badge brings. */
export interface Rewards {
  experiencePoints: number;
  nftProgressContribution: number;
  title: string;
}

/** How bad it is. */
export interface RiskAssessment {
  dataAtRisk: string;
  estimatedRisk: string;
  wasAccountCompromised: boolean;
}

/** What is known of the reason. */
export interface RootCause {
  identified: boolean;
  investigation: string;
  suspectedCause: string;
}

/** A competition under way. */
export interface RunningStats {
  averageVolume: number;
  medianVolume: number;
  timeRemaining: string;
  totalParticipants: number;
  totalVolume: number;
}

/** Something is wrong with a user's account. */
export interface SecurityAlert {
  additionalInfo: RiskAssessment;
  affectedAccount: AffectedAccount;
  alertId: string;
  alertType: string;
  automaticActions: Array<string>;
  contactInfo: SecurityContact;
  description: string;
  detectedAt: string;
  recommendedActions: Array<RecommendedAction>;
  severity: string;
  suspiciousActivity: SuspiciousActivity;
  title: string;
}

/** Whom to call. */
export interface SecurityContact {
  emergencyPhone: string;
  reportUrl: string;
  securityTeam: string;
}

/** A user did what a badge takes. */
export interface ServiceBadgeEarned {
  badgeId: Id;
  badgeName: string;
  description: string;
  earnedAt: string;
  imageUrl: string;
  requiredForTier: number;
}

/** The platform does not work as well as it should. */
export interface ServiceDegradation {
  affectedServices: Array<AffectedService>;
  currentImpact: CurrentImpact;
  description: string;
  estimatedResolution: string;
  incidentId: string;
  mitigationSteps: Array<string>;
  rootCause: RootCause;
  severity: string;
  startedAt: string;
  status: string;
  statusPage: string;
  title: string;
  updates: Array<IncidentUpdate>;
  workarounds: Array<string>;
}

/** A user claimed an NFT. */
export interface ServiceNftUnlocked {
  benefits: TierBenefits;
  imageUrl: string;
  mintAddress: string;
  nftId: Id;
  tierId: number;
  tierName: string;
}

/** Where to ask about it. */
export interface StatusContact {
  announcementUrl: string;
  statusPage: string;
  supportEmail: string;
}

/** What was noticed. */
export interface SuspiciousActivity {
  activityType: string;
  attemptCount: number;
  blocked: boolean;
  ipAddress: string;
  location: Location;
  successful: boolean;
  userAgent: string;
}

/** What a tier is good for. */
export interface TierBenefits {
  aiAgentWeeklyUses: number;
  prioritySupport: boolean;
  /** In percent: `15%`. */
  tradingFeeReduction: string;
}

/** The tiers that a user qualifies for are others now. */
export interface TierQualificationChanged {
  badgeChanges: BadgeChanges;
  currentQualifications: Array<number>;
  previousQualifications: Array<number>;
  volumeChange: number;
}

/**
 * A user's volume of trading passed a mark. The platform's document gives no payload; the fields are
 * those that its client's handler reads.
 */
export interface TradingMilestoneReached {
  currentVolume?: number | null;
  /** USDT, as are the others. */
  milestone?: number | null;
  nextMilestone?: number | null;
}

/** A user's transaction failed. */
export type TransactionFailed = {
  currentSolBalance: number;
  errorCode: ErrorCode;
  errorMessage: string;
  estimatedGasCost: number;
  failedAt: string;
  maxRetries: number;
  nextRetryAt: string;
  nftLevel: number;
  requiredSolBalance: number;
  retryCount: number;
  retryable: boolean;
  technicalError: string;
  transactionId: string;
  transactionType: string;
  walletAddress: string;
} & ({
  errorCode?: "INSUFFICIENT_SOL_BALANCE" | "NETWORK_CONGESTION";
  retryable?: true;
} | {
  errorCode?: "INVALID_WALLET_ADDRESS" | "NFT_REQUIREMENTS_NOT_MET" | "DUPLICATE_TRANSACTION";
  retryable?: false;
});

/** A user as one of the two envelopes has one: a number where the id is one, as in the guide. */
export type UserId = number | string;

/** A user as the architecture document has one: a string, such that it can stand in a channel's name. */
export type UserName = string;

/** Where the user stands. */
export interface UserRank {
  percentile: number;
  rank: number;
  rankChange: number;
  tradingVolume: number;
  volumeChange: number;
}

/** A user's volume of trading passed a mark: see [`milestones`](super::milestones). */
export interface VolumeMilestoneReached {
  currentVolume: number;
  milestone: number;
  /** USDT, as are the next two. */
  previousVolume: number;
  tierUnlocked: number;
}

export type Priority = "high" | "medium" | "low";

export type Channel =
  | `admin.nft`
  | `room.${string}`
  | `user.${string}`;

export interface GuideEnvelopeEvents {
  avatar_changed: AvatarChanged;
  badge_activated: BadgeActivated;
  badge_earned: BadgeEarned;
  badge_progress_update: BadgeProgressUpdate;
  chat_message: ChatMessage;
  competition_ended: CompetitionEnded;
  competition_nft_awarded: CompetitionNftAwarded;
  competition_started: CompetitionStarted;
  feature_announcement: FeatureAnnouncement;
  leaderboard_update: LeaderboardUpdate;
  maintenance_completed: MaintenanceCompleted;
  maintenance_scheduled: MaintenanceScheduled;
  maintenance_started: MaintenanceStarted;
  nft_avatar_unlocked: NftAvatarUnlocked;
  nft_benefits_activated: NftBenefitsActivated;
  nft_progress_update: NftProgressUpdate;
  nft_unlocked: NftUnlocked;
  nft_upgrade_available: NftUpgradeAvailable;
  nft_upgrade_completed: NftUpgradeCompleted;
  rank_changed: RankChanged;
  security_alert: SecurityAlert;
  service_degradation: ServiceDegradation;
  trading_milestone_reached: TradingMilestoneReached;
  transaction_failed: TransactionFailed;
}

export interface GuideEnvelope<N extends keyof GuideEnvelopeEvents = keyof GuideEnvelopeEvents> {
  eventType: N;
  data: GuideEnvelopeEvents[N];
  channel?: string;
  priority: "high" | "medium" | "low";
  category: "avatar" | "badge" | "competition" | "nft" | "system" | "trading" | "user";
  messageId: Id;
  timestamp: string;
  userId: number;
  metadata?: Record<string, unknown>;
}

export interface ServiceEnvelopeEvents {
  badge_earned: ServiceBadgeEarned;
  nft_burned: NftBurned;
  nft_minted: NftMinted;
  nft_unlock_failed: NftUnlockFailed;
  nft_unlocked: ServiceNftUnlocked;
  nft_upgraded: NftUpgraded;
  tier_qualification_changed: TierQualificationChanged;
  volume_milestone_reached: VolumeMilestoneReached;
}

export interface ServiceEnvelope<N extends keyof ServiceEnvelopeEvents = keyof ServiceEnvelopeEvents> {
  eventType: N;
  data: ServiceEnvelopeEvents[N];
  channel?: string;
  priority?: "high" | "medium" | "low";
  eventId: Id;
  userId: UserName;
  timestamp: string;
  source: string;
  version: string;
}

/** Whatever arrives; its event's name tells which it is. */
export type AnyEnvelope =
  | { [N in keyof GuideEnvelopeEvents]: GuideEnvelope<N> }[keyof GuideEnvelopeEvents]
  | { [N in keyof ServiceEnvelopeEvents]: ServiceEnvelope<N> }[keyof ServiceEnvelopeEvents];

/** What clients may publish. */
export interface ClientEvents {
  chat_message: ChatMessage;
}

export interface Publication<N extends keyof ClientEvents = keyof ClientEvents> {
  event: N;
  channel?: string;
  data: ClientEvents[N];
}
