/** How much of a front end one tenant may use. */
export interface Quota {
  /** Commands that have not ended, a front end. */
  commands: number;
  commandsPerPrincipal: number;
  /** Calls, a front end; left out: as many as there are. */
  calls?: { perSecond: number; burst: number };
  /** Named subscriptions to events, of all front ends together. */
  eventSubscriptions: number;
  eventSubscriptionsPerPrincipal: number;
}

/** The quota of each tenant, as it is now. */
export interface Quotas {
  of(tenantId: string): Quota;
}
