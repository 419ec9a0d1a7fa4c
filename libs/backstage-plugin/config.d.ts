export interface Config {
  callboard?: {
    /** Events that are handed to Callboard; without this section none are. */
    events?: {
      /** Topics of Backstage's events service whose events are stored in Callboard before their publisher is answered. */
      topics: string[];
      /** Tenant of Callboard that the events belong to. Default: `default`. */
      tenant?: string;
      /** Events that are being stored at once; others wait, and with them their publishers. Default: 256. */
      maxInFlight?: number;
      nats: {
        /** URL of a NATS server; several, comma separated. */
        servers: string;
        /** File with the credentials of NATS user `backstage`; none on a server without authentication. */
        credentialsFile?: string;
      };
    };
  };
}
