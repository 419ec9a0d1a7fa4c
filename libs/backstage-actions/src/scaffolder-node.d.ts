/**
 * What this plug-in uses of `@backstage/plugin-scaffolder-node`, which the backend brings. The package itself is no dependency here: with it
 * come some 180 others (git, cloud SDKs), for these types only. That they are right, the specs in a real scaffolder show.
 */
declare module '@backstage/plugin-scaffolder-node' {
  import type { BackstageCredentials, ExtensionPoint, LoggerService } from '@backstage/backend-plugin-api';

  export interface ActionContext {
    logger: LoggerService;
    input: Record<string, unknown>;
    task: { id: string };
    /** Kept with the task; runs `fn` unless it has succeeded in an earlier run of the task. */
    checkpoint<T>(options: { key: string; fn: () => Promise<T> }): Promise<T>;
    output(name: string, value: unknown): void;
    getInitiatorCredentials(): Promise<BackstageCredentials>;
    isDryRun?: boolean;
    signal?: AbortSignal;
    step?: { id?: string; name?: string };
  }

  export interface TemplateAction {
    id: string;
    description?: string;
    examples?: { description: string; example: string }[];
    supportsDryRun?: boolean;
    schema?: { input?: object; output?: object };
    handler(context: ActionContext): Promise<void>;
  }

  export const scaffolderActionsExtensionPoint: ExtensionPoint<{ addActions(...actions: TemplateAction[]): void }>;
}
