// The events of Gamification, generated from the types that check them. Do not edit.

/** An achievement, and where a user stands with it if one is named. */
export interface Achievement {
  achievementId: string;
  completedAt?: string;
  metadata?: Record<string, unknown>;
  name?: string;
  points?: number;
  progress?: number;
  userId?: string;
}

/** A user has reached an achievement. */
export type AchievementCompleted = Achievement;

/** There is a new achievement. */
export type AchievementCreated = Achievement;

/** An achievement is gone. */
export type AchievementDeleted = Achievement;

/** A user has come nearer to an achievement. */
export type AchievementProgressUpdated = Achievement;

/** An achievement is another than before. */
export type AchievementUpdated = Achievement;

/** A user did something that is counted. */
export interface EventTracked {
  analyticsId: string;
  category: string;
  event: string;
  metadata?: Record<string, unknown>;
  type: string;
  userId: string;
  value?: number;
}

/** Where an event comes from. */
export interface Metadata {
  correlationId?: string;
  source?: string;
  timestamp?: string;
  userId?: string;
  version?: string;
}

/** What a user is told. */
export interface Notification {
  message: string;
  metadata?: Record<string, unknown>;
  notificationId: string;
  title: string;
  type: string;
  userId: string;
}

/** A user has put it away. */
export type NotificationArchived = Notification;

/** A user is told something. */
export type NotificationCreated = Notification;

/** A user has read it, on whichever device. */
export type NotificationRead = Notification;

/** A quest, and where a user stands with it if one is named. */
export interface Quest {
  completedAt?: string;
  metadata?: Record<string, unknown>;
  name?: string;
  progress?: number;
  questId: string;
  userId?: string;
}

/** A user has come to the end of a quest. Its reward follows. */
export type QuestCompleted = Quest;

/** There is a new quest. */
export type QuestCreated = Quest;

/** A quest is gone. */
export type QuestDeleted = Quest;

/** A user has come farther on a quest. */
export type QuestProgressUpdated = Quest;

/** A user has set out on a quest. */
export type QuestStarted = Quest;

/** A quest is another than before. */
export type QuestUpdated = Quest;

/** What a user gets. */
export interface Reward {
  metadata?: Record<string, unknown>;
  name: string;
  rewardId: string;
  type: string;
  userId: string;
  /** Anything, null too; but it is said. */
  value: unknown;
}

/** A user has taken a reward. */
export type RewardClaimed = Reward;

/** A reward waits for its user. */
export type RewardCreated = Reward;

/** A reward can no longer be had. */
export type RewardExpired = Reward;

export type Priority = "high" | "medium" | "low";

export type Channel =
  | `analytics.${string}`
  | `user.${string}`;

export interface Events {
  "achievement.completed": AchievementCompleted;
  "achievement.created": AchievementCreated;
  "achievement.deleted": AchievementDeleted;
  "achievement.progress_updated": AchievementProgressUpdated;
  "achievement.updated": AchievementUpdated;
  "analytics.event_tracked": EventTracked;
  "notification.archived": NotificationArchived;
  "notification.created": NotificationCreated;
  "notification.read": NotificationRead;
  "quest.completed": QuestCompleted;
  "quest.created": QuestCreated;
  "quest.deleted": QuestDeleted;
  "quest.progress_updated": QuestProgressUpdated;
  "quest.started": QuestStarted;
  "quest.updated": QuestUpdated;
  "reward.claimed": RewardClaimed;
  "reward.created": RewardCreated;
  "reward.expired": RewardExpired;
}

export interface Envelope<N extends keyof Events = keyof Events> {
  type: N;
  data: Events[N];
  channel?: string;
  priority?: "high" | "medium" | "low";
  metadata: Metadata;
}

/** Whatever arrives; its event's name tells which it is. */
export type AnyEnvelope =
  | { [N in keyof Events]: Envelope<N> }[keyof Events];
