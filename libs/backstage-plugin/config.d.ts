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
        /** File with the seed of its nkey, instead of credentials. */
        nkeySeedFile?: string;
        /** TLS; without this section it is used where `servers` begins with `tls://`, or the server insists. */
        tls?: {
          /** File with the certificates of the authorities that may have signed the server's. */
          caFile?: string;
          /** File with our own certificate, for a server that asks who connects. */
          certFile?: string;
          /** File with the key of that certificate. */
          keyFile?: string;
          /** TLS before the server's first word; as its setting `handshake_first` has it. */
          handshakeFirst?: boolean;
        };
      };
    };
  };
}
