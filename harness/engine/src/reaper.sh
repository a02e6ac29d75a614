# Cleans up after a harness that was killed. Its standard input is a pipe that only the harness
# holds: end of file without "done" means that the harness is gone.
#   $1 run id, $2 the run's private directory, $3 "docker" if containers may have been started
read -r word
[ "$word" = done ] && exit 0

stores() { find /proc/[0-9]*/cwd -maxdepth 0 \( -lname "$2" -o -lname "$2/*" \) 2>/dev/null | cut -d/ -f3; }
subjects() { grep -lzx "TOUCHSTONE_RUN=$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }

# QUIT first: an immediate shutdown lets Postgres give back its shared memory. CONT: some are frozen.
for pid in $(stores "$1" "$2"); do kill -QUIT "$pid"; kill -CONT "$pid"; done 2>/dev/null
tries=0
while pids=$(stores "$1" "$2"; subjects "$1" "$2") && [ -n "$pids" ] && [ $tries -lt 50 ]; do
    [ $tries -ge 5 ] && kill -KILL $pids 2>/dev/null
    for pid in $(subjects "$1" "$2"); do kill -KILL "$pid"; done 2>/dev/null
    tries=$((tries + 1))
    sleep 0.05
done
rm -rf -- "$2"
[ "$3" = docker ] || exit 0
# More than once: the engine goes on to create the container that it was asked for last.
for round in 1 2 3 4; do
    ids=$(docker ps -aq --filter "label=touchstone.run=$1" 2>/dev/null)
    [ -n "$ids" ] && docker rm -fv $ids >/dev/null 2>&1
    sleep 0.7
done
