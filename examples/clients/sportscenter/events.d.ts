// The events of SportsCenter, generated from the types that check them. Do not edit.

export interface ActionItem {
  description: string;
  priority: ActionPriority;
}

export type ActionPriority = "high" | "medium" | "low";

export interface ActivityContent {
  data: unknown;
  id: string;
  type: string;
}

export type ActivityType = "post" | "comment" | "reaction";

/** A user's limits follow how the platform does. */
export interface AdaptiveLimit {
  adjustments: Array<Adjustment>;
  duration: number;
  metrics: AdaptiveMetrics;
  "user-id": string;
}

export interface AdaptiveMetrics {
  "error-rate": number;
  latency: number;
  "success-rate": number;
}

export interface Adjustment {
  metric: string;
  "new-value": number;
  "old-value": number;
  reason: string;
}

export interface Allocation {
  type: AllocationType;
  weights: Record<string, number>;
}

export type AllocationType = "equal" | "weighted" | "dynamic";

export interface Analysis {
  techniques: Array<Technique>;
}

export interface AssessmentMetric {
  benchmark: number;
  name: string;
  value: number;
}

export type AssessmentStatus = "draft" | "published" | "archived";

export type Attack = "connection-flood" | "message-flood" | "pattern-abuse";

export interface Availability {
  schedule: Array<Day>;
  "time-zone": string;
}

/** A mentor has time at other hours than before. */
export interface AvailabilityChanged {
  availability: Availability;
  "mentor-id": string;
}

export interface Bandwidth {
  current: number;
  limit: number;
  window: string;
}

export type BandwidthAction = "throttle" | "block";

/** How many bytes a user has moved, of how many. */
export interface BandwidthLimit {
  action: BandwidthAction;
  bandwidth: Bandwidth;
  type: BandwidthType;
  "user-id": string;
}

export type BandwidthType = "upload" | "download" | "total";

export interface BookedSession {
  "athlete-id": string;
  id: string;
  "scheduled-time": ScheduledTime;
  type: BookedSessionType;
}

export type BookedSessionType = "review" | "guidance" | "assessment";

/** Many entities changed at once. */
export interface BulkEntitiesInvalidated {
  "entity-ids": Array<string>;
  "entity-type": string;
  pattern: string;
  priority: Urgency;
  reason: BulkReason;
  timestamp: string;
}

export type BulkReason = "bulk-update" | "data-migration" | "version-change";

export interface Burst {
  "current-rate": number;
  "max-rate": number;
  "window-ms": number;
}

export type BurstAction = "delay" | "drop" | "throttle";

export interface BurstBackoff {
  initial: number;
  max: number;
  multiplier: number;
}

/** A user publishes faster than it may. */
export interface BurstControl {
  action: BurstAction;
  backoff: BurstBackoff;
  burst: Burst;
  "user-id": string;
}

export type CacheHealth = "healthy" | "degraded" | "unhealthy";

export interface CacheUpdate {
  key: string;
  ttl: number;
  value: unknown;
}

/** A service is cut off, or taken back. No client gets it. */
export interface CircuitBreaker {
  metrics: CircuitMetrics;
  recovery: CircuitRecovery;
  service: ProtectedService;
  state: CircuitState;
}

export interface CircuitMetrics {
  "error-rate": number;
  latency: number;
  "timeout-rate": number;
}

export interface CircuitRecovery {
  attempts: number;
  backoff: number;
  "reset-time": string;
}

export type CircuitState = "open" | "half-open" | "closed";

/** How a group worked together. No client gets it. */
export interface CollaborationMetrics {
  "feedback-summary": FeedbackSummary;
  metrics: GroupMetrics;
  participants: Array<string>;
  "session-id": string;
  timestamp: string;
  type: CollaborationType;
}

export type CollaborationType = "team-training" | "group-session" | "mentor-meeting";

/** A user posted, commented or reacted. For every user, whatever its roles. */
export interface CommunityActivity {
  content: ActivityContent;
  timestamp: string;
  type: ActivityType;
  user: Member;
}

export type CommunityActivityType = "post" | "comment" | "like" | "share";

export interface CommunityContent {
  "engagement-score": number;
  id: string;
  type: CommunityContentType;
}

export type CommunityContentType = "discussion" | "achievement" | "milestone";

/** What a user did in the community. It goes to that user. */
export interface CommunityEngagement {
  "activity-type": CommunityActivityType;
  content: CommunityContent;
  reach: Reach;
  timestamp: string;
  "user-id": string;
}

export type Component = "api" | "websocket" | "database" | "cache";

export interface ComponentMetrics {
  "concurrent-users": number;
  "error-rate": number;
  "response-time": number;
  throughput: number;
}

/** How many operations a user has under way, of how many. */
export interface ConcurrentOps {
  current: number;
  "estimated-wait": number;
  max: number;
  "operation-type": OperationType;
  "queue-position": number;
  "user-id": string;
}

/** Two nodes changed the same entity. */
export interface ConflictDetected {
  "cache-keys": Array<string>;
  "entity-id": string;
  "resolution-strategy": ResolutionStrategy;
  timestamp: string;
  versions: Array<ConflictingVersion>;
}

export interface ConflictingVersion {
  node: string;
  timestamp: string;
  version: number;
}

/** How many connections a user has, of how many. */
export interface ConnectionLimit {
  "connection-count": number;
  "max-connections": number;
  policy: ConnectionPolicy;
  remaining: number;
  "reset-time": string;
  "user-id": string;
}

export interface ConnectionPolicy {
  type: string;
  "window-size": number;
}

/** A node takes in fewer connections. No client gets it. */
export interface ConnectionThrottle {
  "affected-user-types": Array<string>;
  "current-load": number;
  duration: number;
  "max-load": number;
  "node-id": string;
  "throttle-policy": ThrottlePolicy;
}

export type ConsequenceAction = "temporary-block" | "rate-reduce";

export interface Consequences {
  action: ConsequenceAction;
  "appeal-process": string;
  duration: number;
}

/** What a user did with some content. It goes to that user. */
export interface ContentEngagement {
  "content-id": string;
  "engagement-type": EngagementType;
  feedback: ContentFeedback;
  metrics: ContentMetrics;
  timestamp: string;
  "user-id": string;
}

export interface ContentFeedback {
  difficulty: string;
  helpful: boolean;
}

export interface ContentMetrics {
  "completion-percentage": number;
  "interaction-count": number;
  "view-duration": number;
}

export type ContentType = "video" | "article" | "assessment";

export interface Day {
  day: string;
  slots: Array<Slot>;
}

/** An attack is met. No client gets it. */
export interface DdosProtection {
  action: DefenseAction;
  duration: number;
  scope: DefenseScope;
  trigger: Trigger;
}

export type DefenseAction = "block" | "challenge" | "monitor";

export type DefenseScope = "ip" | "subnet" | "global";

export interface DevelopmentPlan {
  "action-items": Array<ActionItem>;
  goals: Array<string>;
}

export interface DeviceInfo {
  "app-version": string;
  os: string;
  type: DeviceType;
}

export type DeviceType = "mobile" | "web" | "tablet";

export type EngagementType = "view" | "complete" | "share" | "save";

/** An entity changed or is gone. */
export interface EntityInvalidated {
  "cache-keys": Array<string>;
  "entity-id": string;
  "entity-type": EntityType;
  "invalidation-type": InvalidationType;
  timestamp: string;
  version: number;
}

export type EntityType = "athlete" | "coach" | "mentor" | "session" | "assessment";

export interface ErrorContext {
  "request-id": string;
  "session-id": string;
  "stack-trace": string;
  "user-id": string;
}

/**
 * Something failed. No client gets it: the user whom it hit stands in its context, beside a stack
 * trace, and is not the one whom it is for.
 */
export interface ErrorEvent {
  context: ErrorContext;
  "error-id": string;
  impact: ErrorImpact;
  severity: Severity;
  timestamp: string;
  type: ErrorType;
}

export interface ErrorImpact {
  duration: number;
  "services-affected": Array<string>;
  "users-affected": number;
}

export type ErrorType = "api" | "client" | "system";

export type EvictionStrategy = "lru" | "ttl" | "custom";

export interface FairLimits {
  "burst-allowance": number;
  "off-peak-limit": number;
  "peak-limit": number;
}

/** A user's limits follow how the user behaves. */
export interface FairUsage {
  adjustments: FairLimits;
  "usage-pattern": UsagePattern;
  "user-id": string;
}

export interface FeatureFeedback {
  difficulty: number;
  satisfaction: number;
  usefulness: number;
}

export interface FeatureMetrics {
  "access-count": number;
  "average-duration": number;
  "success-rate": number;
}

/** How a feature is used. No client gets it. */
export interface FeatureUsage {
  "feature-id": string;
  timestamp: string;
  "usage-metrics": FeatureMetrics;
  "user-feedback": FeatureFeedback;
  "user-segment": UserSegment;
}

export interface Feedback {
  comments: string;
  rating: number;
}

export interface FeedbackAuthor {
  id: string;
  role: FeedbackRole;
}

export type FeedbackBy = "athlete" | "mentor";

export type FeedbackRole = "coach" | "mentor";

/** One of the two says how the session was. */
export interface FeedbackSubmitted {
  feedback: Feedback;
  "feedback-type": FeedbackBy;
  "session-id": string;
}

export interface FeedbackSummary {
  "engagement-level": string;
  "satisfaction-score": number;
}

export type FeedbackType = "technique" | "performance" | "general";

export interface Forecast {
  "suggested-reduction": number;
  "time-to-limit": number;
}

export interface GlobalMetrics {
  "bandwidth-usage": number;
  "message-rate": number;
  "total-connections": number;
}

export type GoalChange = "achieved" | "progress";

/** An athlete comes closer to a goal, or reaches it. */
export interface GoalUpdated {
  athleteId: string;
  goalId: string;
  progress?: number | null;
  timestamp: string;
  type: GoalChange;
}

export interface GroupMetrics {
  "collaboration-score": number;
  "interaction-density": number;
  "participant-count": number;
}

/** What a group has used of what its members share. No client gets it. */
export interface GroupShare {
  allocation: Allocation;
  "group-id": string;
  members: Array<string>;
  "shared-quota": SharedQuota;
}

/** How the server is. */
export interface Health {
  metrics: HealthMetrics;
  status: HealthState;
  timestamp: string;
}

export interface HealthMetrics {
  connections: number;
  /** Percent of one processor. */
  cpu: number;
  /** Bytes. */
  memory: number;
}

export type HealthState = "healthy" | "degraded" | "unhealthy";

/** How a node and its cache are. */
export interface HealthStatus {
  metrics: NodeLoad;
  "node-id": string;
  "rate-limit-store": RateLimitStore;
  status: CacheHealth;
}

export type InvalidationType = "update" | "delete";

/** What limits did everywhere. No client gets it. */
export interface LimitMetrics {
  global: GlobalMetrics;
  "per-user": UserMetrics;
  timestamp: string;
  violations: Violations;
}

/** A user is close to a limit. */
export interface LimitWarning {
  forecast: Forecast;
  "mitigation-options": Array<string>;
  type: WarningType;
  "usage-percent": number;
  "user-id": string;
}

export interface Limits {
  bandwidth: number;
  connections: number;
  features: Array<string>;
  "messages-per-minute": number;
}

export type LimitsHealth = "healthy" | "degraded" | "critical";

/** How a node and its limits are. No client gets it. */
export interface LimitsHealthReport {
  metrics: NodeLoad;
  "node-id": string;
  "rate-limit-store": RateLimitStore;
  status: LimitsHealth;
}

/** What several caches keep of a running session is new. */
export interface LiveSessionSync {
  "participant-ids": Array<string>;
  "session-id": string;
  timestamp: string;
  updates: Array<CacheUpdate>;
}

/** The user who did it. */
export interface Member {
  id: string;
  role: string;
}

/** A node's cache runs out of memory. */
export interface MemoryPressure {
  "eviction-strategy": EvictionStrategy;
  "memory-usage": number;
  "node-id": string;
  "priority-keys": Array<string>;
  "protected-patterns": Array<string>;
  timestamp: string;
}

/** An assessment is written, published or put away. */
export interface MentorAssessmentStatusChanged {
  "assessment-id": string;
  status: AssessmentStatus;
  timestamp: string;
}

/** A session with a mentor begins or ends. */
export interface MentorSessionStatusChanged {
  "session-id": string;
  status: SessionStatus;
  timestamp: string;
}

export interface Message {
  content: string;
  from: Party;
  messageId: string;
  timestamp: string;
  to: Party;
  type: MessageType;
}

/** A user took back what it wrote. */
export type MessageDeleted = Message;

/** A user wrote to another. */
export type MessageNew = Message;

/** How many events a user has published, of how many. */
export interface MessageQuota {
  quota: Quota;
  type: QuotaType;
  "user-id": string;
  window: QuotaWindow;
}

export type MessageType = "text" | "image" | "video";

/** A user changed what it wrote. */
export type MessageUpdated = Message;

export interface MetricContext {
  "equipment-id": string;
  "exercise-id": string;
  "session-id": string;
}

/** A figure of an athlete was recorded. */
export interface MetricRecorded {
  athleteId: string;
  source: MetricSource;
  timestamp: string;
  type: string;
  unit: string;
  value: number;
}

export type MetricSource = "manual" | "device" | "ai";

export type MetricType = "speed" | "strength" | "endurance" | "technique" | "accuracy";

/** A figure of an assessment is new. */
export interface MetricUpdated {
  "assessment-id": string;
  metric: AssessmentMetric;
}

/** An athlete has reached something. It goes to that athlete. */
export interface MilestoneAchieved {
  achievements: Array<string>;
  "athlete-id": string;
  details: MilestoneDetails;
  "milestone-type": MilestoneType;
  timestamp: string;
}

export interface MilestoneDetails {
  metric: string;
  "previous-best": number;
  value: number;
}

export type MilestoneType = "personal-best" | "goal-reached" | "streak" | "level-up";

/** What a node is busy with, in percent of what it has. */
export interface NodeLoad {
  "cpu-usage": number;
  "memory-usage": number;
  "network-saturation": number;
}

export interface Note {
  category: string;
  content: string;
  timestamp: string;
}

/** Someone writes something down in a running session. */
export interface NoteAdded {
  note: Note;
  "session-id": string;
}

export interface NotificationAction {
  payload: unknown;
  type: string;
}

/** The platform has something to say: to everyone, or to the user whose channel the publisher names. */
export interface NotificationNew {
  action?: NotificationAction | null;
  id: string;
  message: string;
  timestamp: string;
  title: string;
  type: NotificationType;
}

export type NotificationType = "alert" | "info" | "success";

export type OperationType = "video-stream" | "file-transfer" | "bulk-operation";

/** One of the two users of a message. */
export interface Party {
  id: string;
  role: string;
}

/** What is kept under keys of a form is no longer true. */
export interface PatternInvalidated {
  "affected-regions": Array<string>;
  pattern: string;
  reason: PatternReason;
  scope: Scope;
  timestamp: string;
}

export type PatternReason = "data-update" | "configuration-change" | "deployment";

/** A figure of an athlete's performance. It goes to that athlete. */
export interface PerformanceMetric {
  "athlete-id": string;
  context: MetricContext;
  "metric-type": MetricType;
  timestamp: string;
  unit: string;
  value: number;
}

/** A client asks whether the server is there, every 30 s. */
export type Ping = Record<string, unknown>;

export type Plan = "basic" | "premium" | "team" | "enterprise";

/** The plan that follows from an assessment is new. */
export interface PlanUpdated {
  "assessment-id": string;
  plan: DevelopmentPlan;
}

/** What a user did on the platform. It goes to that user. */
export interface PlatformUsage {
  "activity-type": UsageActivity;
  context: UsageContext;
  "device-info": DeviceInfo;
  timestamp: string;
  "user-id": string;
  "user-type": UserType;
}

/** It is. */
export type Pong = Record<string, unknown>;

export interface PrimaryEntity {
  id: string;
  type: string;
}

export type ProtectedService = "realtime-metrics" | "video-streaming" | "chat";

export interface Quota {
  "messages-limit": number;
  "messages-sent": number;
  "reset-time": string;
}

export type QuotaType = "user" | "session" | "ip";

export type QuotaWindow = "minute" | "hour" | "day";

/** Where the counts stand by which limits go. */
export interface RateLimitStore {
  /** In milliseconds. */
  latency: number;
  status: string;
  type: StoreType;
}

export interface Reach {
  interactions: number;
  shares: number;
  views: number;
}

/** A figure that several caches keep has a new value. */
export interface RealtimeMetricsSync {
  "entities-affected": Array<string>;
  "metric-type": SyncedMetric;
  timestamp: string;
  "update-type": UpdateType;
  value: SyncedValue;
}

/** Something that a client wanted was refused. */
export interface Refusal {
  /** `AUTH_FAILED`, `RATE_LIMITED`, `CONNECTION_ERROR`, or a code of the HTTP side. */
  code: string;
  details?: unknown;
  message: string;
}

export interface RelatedEntity {
  id: string;
  relationship: Relationship;
  type: string;
}

export type Relationship = "parent" | "child" | "peer";

/** An entity changed, and with it those that depend on it. */
export interface RelationshipInvalidated {
  cascade: boolean;
  "primary-entity": PrimaryEntity;
  "related-entities": Array<RelatedEntity>;
  timestamp: string;
}

export interface ReplicationMetrics {
  errors: number;
  "items-processed": number;
  latency: number;
}

export type ReplicationState = "in-progress" | "completed" | "failed";

/** How copying to other regions goes. */
export interface ReplicationStatus {
  metrics: ReplicationMetrics;
  "source-region": string;
  status: ReplicationState;
  "target-regions": Array<string>;
  timestamp: string;
}

export type ResolutionStrategy = "lww" | "custom" | "manual";

export interface ResourceUsage {
  cpu: number;
  memory: number;
  "network-io": number;
}

/** What is kept under keys of a form is thrown away by the clock. */
export interface ScheduleInvalidation {
  "next-execution": string;
  patterns: Array<string>;
  schedule: string;
  timestamp: string;
  timezone: string;
}

export interface ScheduledTime {
  end: string;
  start: string;
}

export type Scope = "global" | "regional" | "user";

/** An athlete has booked a session with a mentor. */
export interface SessionBooked {
  "mentor-id": string;
  session: BookedSession;
}

export interface SessionBreakdown {
  "exercise-time": number;
  "feedback-time": number;
  "rest-time": number;
}

/** How a user took part in a session. It goes to that user. */
export interface SessionEngagement {
  breakdown: SessionBreakdown;
  metrics: SessionMetrics;
  "session-id": string;
  timestamp: string;
  "user-id": string;
}

/** A coach or mentor says something while a session runs. */
export interface SessionFeedbackGiven {
  content: string;
  feedbackId: string;
  from: FeedbackAuthor;
  sessionId: string;
  timestamp: string;
  type: FeedbackType;
}

export interface SessionMetadata {
  athleteId: string;
  coachId: string;
  location?: string | null;
}

export interface SessionMetrics {
  "completion-rate": number;
  duration: number;
  "focus-score": number;
  "interaction-count": number;
}

export type SessionStatus = "in-progress" | "completed" | "cancelled";

/** A session begins, ends or rests. */
export interface SessionStatusChanged {
  metadata: SessionMetadata;
  sessionId: string;
  timestamp: string;
  type: StatusChange;
}

export type Severity = "low" | "medium" | "high" | "critical";

export interface SharedQuota {
  remaining: number;
  total: number;
  used: number;
}

export interface Slot {
  end: string;
  start: string;
}

export type StatusChange = "started" | "ended" | "paused" | "resumed";

export type StoreType = "redis" | "memory";

export type SubscriberSegment = "athlete" | "coach" | "organization";

export type SubscriptionChange = "new" | "renewal" | "churn" | "upgrade";

export interface SubscriptionContext {
  "discount-applied": number;
  "previous-plan": string;
  "subscription-length": number;
}

/** A subscription began, changed or ended. No client gets it. */
export interface SubscriptionMetric {
  context: SubscriptionContext;
  "metric-type": SubscriptionChange;
  "plan-type": Plan;
  timestamp: string;
  "user-segment": SubscriberSegment;
  value: number;
}

export type SyncedMetric = "performance" | "engagement" | "system";

export interface SyncedValue {
  current: number;
  previous: number;
}

/** How a component of the platform performs. No client gets it. */
export interface SystemPerformance {
  component: Component;
  metrics: ComponentMetrics;
  "resource-usage": ResourceUsage;
  timestamp: string;
}

/** What is kept under some tags is no longer true. */
export interface TagsInvalidated {
  priority: Urgency;
  scope: Scope;
  tags: Array<string>;
  timestamp: string;
}

export interface Technique {
  confidence: number;
  feedback: string;
  /** Where in the video. */
  timestamp: number;
  type: string;
}

export type ThrottlePolicy = "reject" | "queue" | "degrade";

export type Tier = "free" | "premium" | "enterprise";

/** What a user's plan allows. */
export interface TierLimits {
  limits: Limits;
  tier: Tier;
  "upgrade-path": UpgradePath;
  "user-id": string;
}

/** What is kept about a time is no longer true. */
export interface TimeWindowInvalidated {
  "affected-types": Array<string>;
  "end-time": string;
  reason: TimeWindowReason;
  "start-time": string;
  timestamp: string;
}

export type TimeWindowReason = "data-correction" | "timezone-update";

export interface Trend {
  "change-percentage": number;
  "confidence-score": number;
  "current-value": number;
  direction: TrendDirection;
}

export type TrendDirection = "up" | "down" | "stable";

export type TrendPeriod = "daily" | "weekly" | "monthly";

/** Where a figure of an athlete is going. It goes to that athlete. */
export interface TrendUpdate {
  "athlete-id": string;
  "metric-type": string;
  period: TrendPeriod;
  timestamp: string;
  trend: Trend;
}

export interface Trigger {
  threshold: number;
  type: Attack;
  window: number;
}

export type UpdateType = "increment" | "set" | "compute";

export interface UpgradePath {
  benefits: Array<string>;
  "next-tier": string;
}

/** How soon caches should see to it. */
export type Urgency = "high" | "normal" | "low";

export type UsageActivity = "login" | "feature-use" | "content-access";

export interface UsageContext {
  "content-type": ContentType;
  duration: number;
  "feature-id": string;
}

export interface UsagePattern {
  "high-usage-days": Array<string>;
  "peak-times": Array<string>;
}

export interface UserMetrics {
  "p95-usage": number;
  "p99-usage": number;
}

export type UserSegment = "athlete" | "coach" | "mentor" | "parent";

export type UserType = "athlete" | "coach" | "mentor" | "parent";

/** What a node has seen of the others. */
export interface VersionVectorUpdate {
  "entity-type": string;
  "node-id": string;
  timestamp: string;
  vector: Record<string, number>;
}

export interface Video {
  analysis?: Analysis | null;
  progress?: number | null;
  status: VideoStatus;
  videoId: string;
}

/** What was found in a video. */
export type VideoAnalyzed = Video;

export type VideoStatus = "uploading" | "processing" | "analyzed" | "failed";

/** A video is on its way through the platform. */
export type VideoStatusChanged = Video;

/** A user went over a limit. */
export interface Violation {
  consequences: Consequences;
  "user-id": string;
  violation: ViolationReport;
}

export interface ViolationReport {
  details: string;
  timestamp: string;
  type: ViolationType;
}

export type ViolationType = "exceeded-limit" | "abuse-detected";

export interface Violations {
  count: number;
  "top-offenders": Array<string>;
}

/** A cache is being filled before it is asked. */
export interface WarmingEvent {
  patterns: Array<string>;
  priority: Urgency;
  progress: WarmingProgress;
  strategy: WarmingStrategy;
  timestamp: string;
}

export interface WarmingProgress {
  errors: number;
  processed: number;
  total: number;
}

export type WarmingStrategy = "preload" | "lazy" | "predictive";

export type WarningType = "connection" | "message" | "bandwidth";

export type Priority = "high" | "medium" | "low";

export type Channel =
  | `analytics`
  | `cache`
  | `community`
  | `goal`
  | `mentor-assessment`
  | `mentor-session`
  | `mentor`
  | `metric`
  | `notification`
  | `ratelimit`
  | `session`
  | `user.${string}`
  | `video`;

export interface Events {
  "analytics/collaboration-metrics": CollaborationMetrics;
  "analytics/community-engagement": CommunityEngagement;
  "analytics/content-engagement": ContentEngagement;
  "analytics/error-event": ErrorEvent;
  "analytics/feature-usage": FeatureUsage;
  "analytics/milestone-achieved": MilestoneAchieved;
  "analytics/performance-metric": PerformanceMetric;
  "analytics/platform-usage": PlatformUsage;
  "analytics/session-engagement": SessionEngagement;
  "analytics/subscription-metric": SubscriptionMetric;
  "analytics/system-performance": SystemPerformance;
  "analytics/trend-update": TrendUpdate;
  "cache/bulk-entities-invalidated": BulkEntitiesInvalidated;
  "cache/conflict-detected": ConflictDetected;
  "cache/entity-invalidated": EntityInvalidated;
  "cache/health-status": HealthStatus;
  "cache/live-session-sync": LiveSessionSync;
  "cache/memory-pressure": MemoryPressure;
  "cache/pattern-invalidated": PatternInvalidated;
  "cache/realtime-metrics-sync": RealtimeMetricsSync;
  "cache/relationship-invalidated": RelationshipInvalidated;
  "cache/replication-status": ReplicationStatus;
  "cache/schedule-invalidation": ScheduleInvalidation;
  "cache/tags-invalidated": TagsInvalidated;
  "cache/time-window-invalidated": TimeWindowInvalidated;
  "cache/version-vector-update": VersionVectorUpdate;
  "cache/warming-event": WarmingEvent;
  "community:activity": CommunityActivity;
  "goal:update": GoalUpdated;
  "mentor-assessment/metric-updated": MetricUpdated;
  "mentor-assessment/plan-updated": PlanUpdated;
  "mentor-assessment/status-changed": MentorAssessmentStatusChanged;
  "mentor-session/feedback-submitted": FeedbackSubmitted;
  "mentor-session/note-added": NoteAdded;
  "mentor-session/status-changed": MentorSessionStatusChanged;
  "mentor/availability-changed": AvailabilityChanged;
  "mentor/session-booked": SessionBooked;
  "message:deleted": MessageDeleted;
  "message:new": MessageNew;
  "message:updated": MessageUpdated;
  "metric:recorded": MetricRecorded;
  "notification:new": NotificationNew;
  "ratelimit/adaptive-limit": AdaptiveLimit;
  "ratelimit/bandwidth-limit": BandwidthLimit;
  "ratelimit/burst-control": BurstControl;
  "ratelimit/circuit-breaker": CircuitBreaker;
  "ratelimit/concurrent-ops": ConcurrentOps;
  "ratelimit/connection-limit": ConnectionLimit;
  "ratelimit/connection-throttle": ConnectionThrottle;
  "ratelimit/ddos-protection": DdosProtection;
  "ratelimit/fair-usage": FairUsage;
  "ratelimit/group-share": GroupShare;
  "ratelimit/health": LimitsHealthReport;
  "ratelimit/limit-warning": LimitWarning;
  "ratelimit/message-quota": MessageQuota;
  "ratelimit/metrics": LimitMetrics;
  "ratelimit/tier-limits": TierLimits;
  "ratelimit/violation": Violation;
  "session:feedback": SessionFeedbackGiven;
  "session:status": SessionStatusChanged;
  "video:analysis": VideoAnalyzed;
  "video:status": VideoStatusChanged;
}

export interface Envelope<N extends keyof Events = keyof Events> {
  event: N;
  data: Events[N];
  channel?: string;
  priority?: "high" | "medium" | "low";
}

/** Whatever arrives; its event's name tells which it is. */
export type AnyEnvelope =
  | { [N in keyof Events]: Envelope<N> }[keyof Events];
