# Makes a machine out of fresh namespaces, then becomes its first process.
#
# Run by machines/namespaces.py as root in new pid, mount and uts namespaces; the variables below
# come from there, and "$@" is the machine's own command. The environment is the machine's.
set -eu
mount --make-rprivate /
cd "$new_root"
mount -t tmpfs -o mode=755 simcloud .
cd "$new_root"

# The system is this computer's, seen through a layer of the machine's own: it may write anywhere.
layer() {
  mkdir -p "$1" ".layers/$1/upper" ".layers/$1/work"
  mount -t overlay -o "lowerdir=/$1,upperdir=.layers/$1/upper,workdir=.layers/$1/work" simcloud "$1"
}
for name in bin sbin lib lib32 lib64 libx32 usr etc var opt; do
  if [ -L "/$name" ]; then cp -P "/$name" "$name"; elif [ -d "/$name" ]; then layer "$name"; fi
done
mkdir -p proc sys dev/pts dev/shm run/sshd tmp home mnt media srv simcloud .old
chmod 1777 tmp dev/shm
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys 2>/dev/null || mount --bind /sys sys
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
for name in null zero full random urandom tty; do
  : >"dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for name in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${name%%:*}" "dev/${name#*:}"; done

# Disks and the package cache are one mount, so that environments can be hard links into the cache.
mount --bind "$pool" simcloud
ln -s "/simcloud/$disk/root" root
ln -s "/simcloud/$disk/workspace" workspace

pivot_root . .old
cd /
rm -rf /etc/ssh /etc/machine-id /var/run
ln -s ../run /var/run
cp -r "/simcloud/$disk/image/." /
echo "$host_name" >/proc/sys/kernel/hostname

# Folders of this computer that the machine sees at their own path, read-only.
show() {
  if [ -d "/.old$1" ]; then mkdir -p "$2"; else mkdir -p "${2%/*}" && : >"$2"; fi
  mount --bind "/.old$1" "$2"
  mount -o remount,bind,ro "$2"
}
eval "$shown"
umount -l /.old
rmdir /.old
exec env -u PWD -u OLDPWD "$@"
