export { describeSaga, type SagaView, type StepView } from './describe-saga.js';
export { listSagas, type ListedSaga } from './list-sagas.js';
export { encodeEntry, entryHeaders, parseEntry, type JournalEntry } from './entry.js';
export { SagaJournal, decideAll, take, type SagaRecord } from './saga-journal.js';
