//! The tests of bedfs, in one binary.
//!
//! | module | what it holds the program to |
//! |---|---|
//! | `ahead` | what is fetched beyond what is asked for, over how many connections, and when one stalls |
//! | `api` | the client against the emulator: every endpoint, and how answers are read |
//! | `api_retries` | what the client repeats and what not, how fast and how long |
//! | `api_token` | the token is got once, shared, renewed, and never asked for in a loop |
//! | `api_transfer` | downloads, redirects and slices |
//! | `attributes_kept` | modes, owners, times and attributes set by programs outlive the mount, its crash and every move |
//! | `away` | the service is away: what is known is shown at once, whatever is unfinished |
//! | `background` | a close that returns at once: what it took is kept, and gets there |
//! | `background_model` | random changes in the background, and kills, come to what was acknowledged |
//! | `beside` | the state file beside other processes: who looks waits for none, who writes gets through |
//! | `cache` | the cache on disk: kept across remounts and kills, bounded, checked, and never needed |
//! | `calls` | how many calls, bytes and how much memory everything takes at most |
//! | `changes` | each fault at each endpoint of moving, removing and making: nothing goes that nobody removed |
//! | `checking` | uploads that the service goes on checking, and slices that got lost behind a success, send nothing in vain |
//! | `clients` | programs that were written for PicGo upload by bedfs |
//! | `command` | what cannot be mounted is told in one line; completions, manual page, demo |
//! | `control` | the control folder, and the commands that tell the same |
//! | `crash_folders` | `kill -9` at each step of changes of folders, of saves and of what is done in a row |
//! | `crash_open` | `kill -9` while files are open, and just after they were closed in the background |
//! | `crash_pictures` | `kill -9` at each step of changes of one picture |
//! | `deletes` | deletes are acknowledged at once, sent in batches, and done across any end |
//! | `disk` | the local disk is full, read-only, emptied or damaged: nothing is acknowledged that is not so |
//! | `doctor` | the report: what is wrong is told with what mends it |
//! | `downloads` | what is cut, stalled, corrupted or swapped is never served as good, nor published |
//! | `draining` | the end of a mount that uploads in the background |
//! | `ends` | umount and signals: uploads are finished, what cannot be uploaded is kept |
//! | `failing_disk` | what the local disk lost is never acknowledged later, nor published |
//! | `faults` | each fault at each endpoint of a copy, once and for ever: nothing is lost, nothing is there twice |
//! | `faults_programs` | faults under whole programs: what passes is not noticed, what stays costs no version |
//! | `fstab` | `mount` and `umount` by lines of `/etc/fstab`, by root and by users, over a dead mount |
//! | `instead` | what a CDN sends in place of a picture: reads fail and say why, and nothing of it is kept |
//! | `interruption` | who is killed while it waits is gone, a silent service is given up, what moves is not cut |
//! | `journal` | who has the journal, and what outlives a kill, damage and missing files |
//! | `limits` | room or traffic that is used up, rejected pictures, a service that is away: what stays and what is told |
//! | `link` | the links of files in a mount, and of paths of the bed without one |
//! | `listings` | what is known of folders: over remounts and kills, in large folders, as others change them, and at the limit |
//! | `local_names` | what programs write beside a picture stays here, and is uploaded once when it gets a proper name |
//! | `local_open` | who has a file open goes on while it gets a local name, or a name of the bed again |
//! | `local_places` | local files in places that change: not lost, and never in another's place |
//! | `logging` | the log: of which rooms how much, changed by a signal, into a file, for the journal |
//! | `machines` | two mounts of one bed show each other what they do |
//! | `model` | random operations on a mount and on a plain folder, compared |
//! | `mounted` | what the system's tools read of a mount: type, source, inodes, and what cannot be changed |
//! | `moved` | each link that takes the place of another is recorded, and nothing else |
//! | `namespaces` | a mount in namespaces of a user, in a chroot and through one, and after a logout |
//! | `numbers` | files and folders keep their inode numbers, and file handles lead to them |
//! | `offline_logs` | offline logs: listed, downloaded once, merged, kept |
//! | `open_files` | a mount that may have few files open holds any number of pending and local ones |
//! | `options` | every mount option in its three spellings, the configuration file, the environment |
//! | `outages` | each fault while reading and listing |
//! | `page` | the page of `bedfs serve`: what it shows, what that costs, who may change the bed by it |
//! | `patience` | what is told while a command waits, on a terminal and elsewhere |
//! | `pending` | what is not at the service is listed, exported, tried again and given up |
//! | `pipeline` | uploads in the background: the steps of many files overlap, within the limits |
//! | `probe` | what the service does is found out, and nothing is left |
//! | `programs` | programs for a local disk leave in the mount and the bed what they leave in a folder, at a price |
//! | `readme` | what the README says to type works as it is written, in either language |
//! | `relink` | texts follow their pictures byte for byte, and links that lead nowhere are told |
//! | `restart` | a mount ends or is killed while programs write, and another program goes on with it |
//! | `right` | a developer right that has lapsed is named, costs no token and no upload, and is tried again |
//! | `samba` | a share of a mount is what a share of a folder is, at a price |
//! | `saves` | how vim, rsync and others save: the bed sees each version once |
//! | `scarce` | an account that is admitted few calls: listings come to their end, and the user is told why that takes long |
//! | `semantics` | what a file holds: written anywhere, cut, mapped, appended to, read back |
//! | `semantics_attributes` | extended attributes, modes and times, the control folder, what is not there |
//! | `semantics_elsewhere` | what others do to the bed, and listings that fail |
//! | `semantics_folders` | moves, renames, folders: IDs and links that live, nothing that goes unasked |
//! | `semantics_names` | names that are refused, and hostile ones in listings |
//! | `semantics_open` | open files: duplicates, children, names that go or change hands |
//! | `semantics_rare` | exchanges, files without a name, the time of birth, holes, copies by the kernel |
//! | `serve` | what PicGo's clients ask of the server, and what it does not do for others |
//! | `serve_names` | names in forms and paths however they are spelled, and which pages may upload |
//! | `services` | systemd is told how it goes, its units are right, and a crash leaves no dead mount |
//! | `settings` | who is stronger, several accounts, what is wrong is told, a login |
//! | `small_disk` | a small local disk: what is read gives way, and what makes room or ends something always works |
//! | `soak` | everything at once, under faults and kills: nothing is lost, and nothing is left over |
//! | `threats` | what other users, other programs, dumps and crafted answers get of a mount |
//! | `tidy` | the floors, the only homes of reqwest, fuser and errno, and where `unsafe` stands |
//! | `times` | which changes tell their time, and that the next mount tells the same |
//! | `tls` | who vouches for a host, what is said where nobody does, and proxies on the way |
//! | `told` | what goes wrong is told in words that name it, and in one line |
//! | `torture` | random operations under faults and kills: what was acknowledged is so, and nothing else |
//! | `traffic` | the traffic log is archived row by row, and told as people and programs want it |
//! | `traffic_ids` | sums of the traffic log are right whatever an ID of a row is of |
//! | `unknowns` | whatever the service answers where the documents leave it open, the walk is the same |
//! | `upload` | uploads without a mount: links in order, nothing twice, nothing replaced |
//! | `upload_names` | uploads without a mount: what pictures are called in the bed |
//! | `users` | an ordinary user mounts, others see what they may, secrets are for nobody |
//! | `write_ways` | new files that programs write in every way there is: what they wrote is what is published |
//! | `xattrs` | attributes that are set: ours cannot be, the user's are kept, copies that bring them succeed |
//!
//! `harness` mounts the built binary on a real kernel mount, over a real socket; `absence` has a service
//! that goes away; `bench` copies
//! pictures under faults, `crash` kills mounts at `crash_points`, `crash_verdict` holds what is there
//! then to the law, `ward` has beds for doctors, `journaled` mounts in the background and looks at what
//! a kill left, `soak_rest` tells what a mount holds that does nothing, `front` has TLS before a bed,
//! `forward` is a proxy of a network, and `compare` compares what is in the mount, the bed and a plain
//! folder.

mod absence;
mod ahead;
mod api;
mod api_retries;
mod api_token;
mod api_transfer;
mod attributes_kept;
mod away;
mod background;
mod background_model;
mod bench;
mod beside;
mod cache;
mod calls;
mod changes;
mod checking;
mod clients;
mod command;
mod compare;
mod control;
mod crash;
mod crash_folders;
mod crash_open;
mod crash_pictures;
mod crash_points;
mod crash_verdict;
mod deletes;
mod disk;
mod doctor;
mod downloads;
mod draining;
mod ends;
mod failing_disk;
mod faults;
mod faults_programs;
mod forward;
mod front;
mod fstab;
mod harness;
mod instead;
mod interruption;
mod journal;
mod journaled;
mod limits;
mod link;
mod listings;
mod local_names;
mod local_open;
mod local_places;
mod logging;
mod machines;
mod model;
mod mounted;
mod moved;
mod namespaces;
mod numbers;
mod offline_logs;
mod open_files;
mod options;
mod outages;
mod page;
mod patience;
mod pending;
mod pipeline;
mod probe;
mod programs;
mod readme;
mod relink;
mod restart;
mod right;
mod samba;
mod saves;
mod scarce;
mod semantics;
mod semantics_attributes;
mod semantics_elsewhere;
mod semantics_folders;
mod semantics_names;
mod semantics_open;
mod semantics_rare;
mod serve;
mod serve_names;
mod services;
mod settings;
mod shortage;
mod small_disk;
mod soak;
mod soak_rest;
mod threats;
mod tidy;
mod times;
mod tls;
mod told;
mod torture;
mod traffic;
mod traffic_ids;
mod unknowns;
mod upload;
mod upload_names;
mod users;
mod ward;
mod write_ways;
mod xattrs;
