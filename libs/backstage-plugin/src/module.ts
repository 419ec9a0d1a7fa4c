/** The backend module: reads its configuration, subscribes, and hands what comes to the forwarder. */
import { coreServices, createBackendModule, type BackendFeature } from '@backstage/backend-plugin-api';
import { eventsServiceRef } from '@backstage/plugin-events-node';
import { AckedPublisher, RawEvents, connectNats } from '@callboard/jetstream';
import { access } from 'node:fs/promises';
import { readPluginConfig, SOURCE_NAME } from './config.js';
import { Forwarder } from './forwarder.js';
import { measure } from './metrics.js';

/** Of a trouble that lasts, one line in so many attempts. */
const TELL_EVERY = 10;

const callboardEvents: BackendFeature = createBackendModule({
  pluginId: 'events',
  moduleId: 'callboard',
  register({ registerInit }) {
    registerInit({
      deps: {
        config: coreServices.rootConfig,
        events: eventsServiceRef,
        lifecycle: coreServices.lifecycle,
        logger: coreServices.logger,
      },
      async init({ config: root, events, lifecycle, logger }) {
        const config = readPluginConfig(root);
        if (!config) return logger.info('callboard.events is not configured: no event is handed to Callboard');
        const { nats, topics, origin, maxInFlight } = config;
        // A wrong path would look like a server that is away, for ever.
        const { credsFile, nkeyFile, tls } = nats;
        for (const file of [credsFile, nkeyFile, tls?.caFile, tls?.certFile, tls?.keyFile]) {
          if (file !== undefined) await access(file);
        }
        const onRefused = (error: Error) => logger.warn(`NATS cannot be reached yet, events wait: ${error.message}`);
        // Not awaited: Backstage starts without NATS too, and what comes meanwhile waits.
        const connecting = connectNats({ ...nats, user: SOURCE_NAME, name: 'backstage events', onRefused });
        connecting.catch((error: Error) => logger.error(`NATS cannot be used, events wait: ${error.message}`));
        const publisher = connecting.then((nc) => new AckedPublisher(nc));
        const meter = measure(() => forwarder.waiting);
        const forwarder = new Forwarder(
          origin,
          publisher.then((acked) => new RawEvents(acked)),
          maxInFlight,
          {
            stored: (topic, how) => meter.count(topic, how),
            refused: (topic, error, attempt, retryInMs) => {
              meter.count(topic, 'retried');
              if (attempt % TELL_EVERY !== 1) return;
              logger.warn(
                `An event of ${topic} is not stored yet, its publisher waits; next try in ${Math.round(retryInMs)} ms: ${(error as Error).message}`,
              );
            },
          },
        );
        // What waits has a publisher that waits for its answer: no shutdown is worth telling it a lie. Whoever cannot wait kills us, and
        // the publisher gets no answer, which is the truth.
        lifecycle.addShutdownHook(async () => {
          await forwarder.idle();
          meter.stop();
          // Not awaited: a server that was never there must not keep Backstage.
          void publisher.then((acked) => acked.close());
          void connecting.then((nc) => nc.close());
        });
        await events.subscribe({ id: 'callboard', topics, onEvent: (params) => forwarder.forward(params) });
        logger.info(`Events of ${topics.join(', ')} are handed to Callboard`);
      },
    });
  },
});
export default callboardEvents;
