/** Import and export of the store. */
export { type Exported, type ExportOptions, exportRecords } from './export.ts';
export { type Imported, type ImportOptions, importRecords } from './import.ts';
