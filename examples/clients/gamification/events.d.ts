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

/** A user has put it away. */
export type Archived = Notification;

/** A user has taken a reward. */
export type Claimed = Reward;

/** A user has reached an achievement. */
export type Completed = Achievement;

/** A user has come to the end of a quest. Its reward follows. */
export type Completed2 = Quest;

/** There is a new achievement. */
export type Created = Achievement;

/** A user is told something. */
export type Created2 = Notification;

/** There is a new quest. */
export type Created3 = Quest;

/** A reward waits for its user. */
export type Created4 = Reward;

/** An achievement is gone. */
export type Deleted = Achievement;

/** A quest is gone. */
export type Deleted2 = Quest;

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

/** A reward can no longer be had. */
export type Expired = Reward;

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

/** A user has come nearer to an achievement. */
export type ProgressUpdated = Achievement;

/** A user has come farther on a quest. */
export type ProgressUpdated2 = Quest;

/** A quest, and where a user stands with it if one is named. */
export interface Quest {
  completedAt?: string;
  metadata?: Record<string, unknown>;
  name?: string;
  progress?: number;
  questId: string;
  userId?: string;
}

/** A user has read it, on whichever device. */
export type Read = Notification;

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

/** A user has set out on a quest. */
export type Started = Quest;

/** An achievement is another than before. */
export type Updated = Achievement;

/** A quest is another than before. */
export type Updated2 = Quest;

export type Priority = "high" | "medium" | "low";

export type Channel =
  | `analytics.${string}`
  | `user.${string}`;

export interface Events {
  "achievement.completed": Completed;
  "achievement.created": Created;
  "achievement.deleted": Deleted;
  "achievement.progress_updated": ProgressUpdated;
  "achievement.updated": Updated;
  "analytics.event_tracked": EventTracked;
  "notification.archived": Archived;
  "notification.created": Created2;
  "notification.read": Read;
  "quest.completed": Completed2;
  "quest.created": Created3;
  "quest.deleted": Deleted2;
  "quest.progress_updated": ProgressUpdated2;
  "quest.started": Started;
  "quest.updated": Updated2;
  "reward.claimed": Claimed;
  "reward.created": Created4;
  "reward.expired": Expired;
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
