export interface Config {
  callboard?: {
    /** Where Callboard is, for the scaffolder's actions and for Callboard's actions in Backstage. */
    mcp?: {
      /** URL of its MCP endpoint: `https://callboard.example.com/mcp`. */
      url: string;
      /**
       * Bearer token with which this Backstage calls Callboard; none on a Callboard that asks for none.
       * @visibility secret
       */
      token?: string;
      /** Milliseconds for which Callboard may be away on end before a call gives up. Default: 900,000. */
      patienceMs?: number;
    };
    /** Callboard's tools as actions of Backstage, `callboard:<name>`; without this section there are none. */
    actions?: {
      /** Which tools, by Callboard's names; `*` stands for any text. Default: all. */
      include?: string[];
      /** Which of them not. */
      exclude?: string[];
      /** Milliseconds until Callboard is asked again for its tools. Default: 60,000. */
      refreshMs?: number;
      /** Whose token a call carries: always that of `mcp`, or the user's where a user calls. Default: `service`. */
      callAs?: 'service' | 'user';
    };
    /** The scaffolder's actions `callboard:call` and `mcp:call`; without this section there are none. */
    scaffolder?: {
      /** MCP servers whose tools `mcp:call` may call; without any there is no such action. */
      mcpServers?: {
        name: string;
        /** URL of its MCP endpoint, by Streamable HTTP. */
        url: string;
        /**
         * Headers of every request to it.
         * @deepVisibility secret
         */
        headers?: Record<string, string>;
        /** Milliseconds that one call may take. Default: 60,000. */
        timeoutMs?: number;
      }[];
    };
  };
}
