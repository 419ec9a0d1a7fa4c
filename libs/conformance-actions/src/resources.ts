import { defineResource, type ActionDefinition } from '@callboard/actions';
import { PNG } from './media.js';

export const resources: ActionDefinition[] = [
  defineResource({
    name: 'static-text',
    uri: 'test://static-text',
    description: 'A text that never changes',
    mimeType: 'text/plain',
    run: ({ uri }) => ({
      contents: [{ uri, mimeType: 'text/plain', text: 'This is the content of the static text resource.' }],
    }),
  }),

  defineResource({
    name: 'static-binary',
    uri: 'test://static-binary',
    description: 'An image that never changes',
    mimeType: 'image/png',
    run: ({ uri }) => ({ contents: [{ uri, mimeType: 'image/png', blob: PNG }] }),
  }),

  defineResource({
    name: 'watched-resource',
    uri: 'test://watched-resource',
    description: 'A text to subscribe to',
    mimeType: 'text/plain',
    run: ({ uri }) => ({ contents: [{ uri, mimeType: 'text/plain', text: 'Watched' }] }),
  }),

  defineResource({
    name: 'template',
    uri: 'test://template/{id}/data',
    description: 'Data of one id',
    mimeType: 'application/json',
    run: ({ uri, id }) => ({
      contents: [
        {
          uri,
          mimeType: 'application/json',
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` }),
        },
      ],
    }),
  }),
];
